"""What is kept of a call that goes on is the same on every device."""

from __future__ import annotations

import numpy as np
import pytest

import tiny
from attattr import Attributor
from attattr.data.encoding import as_inputs, encode
from attattr.disk.units import Units
from attattr.engine import room
from attattr.heads import per_input, sensitivity


@pytest.mark.parametrize("module", [sensitivity, per_input])
def test_heads_go_on_where_there_is_less_memory(module, tmp_path, monkeypatch):
    attributor = Attributor(tiny.bert().float(), tiny.tokenizer())
    encoded = list(encode(attributor.model, None, as_inputs([tiny.text(7, seed=i) for i in range(9)])))
    monkeypatch.setattr(module, "SHARE", 4)

    def found(units):
        if module is per_input:
            return per_input.attributions(attributor, encoded, None, "max", lambda *_: None, units)[0]
        gold = np.zeros(len(encoded), int)
        return sensitivity.sensitivities(attributor, encoded, gold, lambda *_: None, units).taylor

    first = found(Units(tmp_path))
    assert len(list(tmp_path.glob("*.unit"))) == 3
    (tmp_path / "0.unit").unlink(missing_ok=True)
    (tmp_path / "attributions-0.unit").unlink(missing_ok=True)
    monkeypatch.setattr(room, "ON_CPU", 5000)  # one row at a time
    np.testing.assert_allclose(found(Units(tmp_path)), first, rtol=1e-4, atol=1e-6)

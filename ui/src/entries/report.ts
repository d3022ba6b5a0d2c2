// The self-contained page: its data stands in the document, that of a result or of a generation.
import { mountGeneration } from "../generation";
import { mount } from "../report";

const facts = JSON.parse(document.getElementById("data")!.textContent!);
const root = document.getElementById("attattr")!;
const alone = window.parent === window;
if ("spans" in facts) mountGeneration(root, facts, alone);
else mount(root, facts, alone);

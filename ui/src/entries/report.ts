// The self-contained page: its data stands in the document.
import { mount } from "../report";

const text = document.getElementById("data")!.textContent!;
mount(document.getElementById("attattr")!, JSON.parse(text), window.parent === window);

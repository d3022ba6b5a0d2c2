// The page of `attattr serve`: its data comes from the server.
import { start } from "../serve/app";

void start(document.getElementById("serve")!);

import { test } from "node:test";
import { startServer } from "../harness.ts";
import { cheap } from "../identity/cheap-hash.ts";
import { GoKmsService } from "./go-kms-service.ts";
test("smoke", async () => {
  await using s = await startServer({ KEYSTEAD_FACADES: "go-kms" }, { passwordCost: cheap });
  const go = await GoKmsService.of(s);
  const c = await go.client();
  console.log((await go.login(c.name)).text);
  console.log((await go.generate(c, "orders")).text);
  console.log((await go.get(c, "orders")).text);
  console.log((await go.rotate(c, "orders")).text);
  const a = await go.get(c, "orders", 1);
  console.log(a.text, a.headers);
  console.log((await go.delete(c, "orders")).status, (await go.get(c, "orders", 1)).text);
  console.log((await go.ask("GET", "/clients/", undefined, { token: go.admin })).text);
  console.log((await go.login(c.name, "x")).text, (await go.login("nobody")).text);
  console.log(s.auditEntries().slice(-6), s.logLines);
});

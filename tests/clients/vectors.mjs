// Answers vectors: a line in, a line out; texts are hex of UTF-8.
import { readFileSync } from "node:fs";
import { Assigner, inShadow } from "./assigner.js";

const text = (hex) => Buffer.from(hex, "hex").toString("utf8");
for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const [kind, salt, unit, asked] = line.split("\t");
  if (kind === "shadow") {
    console.log(String(inShadow(Number(asked), text(salt), text(unit))));
    continue;
  }
  const pairs = asked.split(",").map((one) => one.split("="));
  const weights = Object.fromEntries(pairs.map(([arm, share]) => [text(arm), Number(share)]));
  const { arm, propensity } = new Assigner(weights, text(salt)).assign(text(unit));
  console.log(`${Buffer.from(arm, "utf8").toString("hex")}\t${propensity}`);
}

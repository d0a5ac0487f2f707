// A command of a person: asked for again, and sent with the token that they know.
import * as api from "./api.js";
import { h, percent, replace } from "./dom.js";

const MEANS = {
  rollback: "takes all traffic off it at once; it stays in quarantine until released",
  promote: "makes it the champion, to which traffic returns after a rollback",
  pin: "sends all traffic to it; neither guard nor policy acts until it is unpinned",
  unpin: "lets the policy weigh the arms again",
  release: "lets it start again in the nursery; its old labels stay counted",
  approve: "makes it the champion, as the job proposed",
  reject: "keeps the champion; it is not proposed again for the time of an approval (approval_s)",
  freeze: "holds the weights; a rollback still goes through",
  unfreeze: "lets the weights move again",
};

export function askFor(route, action, arm, status) {
  const dialog = document.getElementById("dialog");
  let isWarned = false;
  const token = h("input", { type: "password", autocomplete: "off", required: true, value: sessionStorage.getItem("token") ?? "" });
  const person = h("input", { type: "text", maxlength: 100, required: true, value: localStorage.getItem("actor") ?? "" });
  const problem = h("p", { class: "problem", role: "alert" });
  const send = h("button", { type: "submit", class: action === "rollback" ? "danger" : null }, `Yes, ${action}`);
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "dialog-title" }, arm === null ? `${action} ${route}?` : `${action} ${arm} on ${route}?`),
    h("p", {}, `This ${MEANS[action]}.`),
    h("label", {}, "Your name, for the record", person),
    h("label", {}, "Token (app.web_token), kept until this tab closes", token),
    problem,
    h("div", { class: "row" }, send, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel")),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    problem.textContent = "";
    send.textContent = "Waiting for the answer …";
    try {
      const asked = { route, action, actor: person.value };
      if (arm !== null) asked.arm = arm;
      if (isWarned) asked.yes = true;
      const answer = await api.command(asked, token.value);
      sessionStorage.setItem("token", token.value);
      localStorage.setItem("actor", person.value);
      showAnswer(dialog, answer, status);
    } catch (error) {
      // The job says that what takes over is worse: who presses once more has read it.
      isWarned = action === "rollback" && error.message.includes("--yes");
      problem.textContent = isWarned ? error.message.split("; to roll back")[0] : error.message;
      send.disabled = false;
      send.textContent = isWarned ? `${action} all the same` : `Yes, ${action}`;
    }
  });
  replace(dialog, form);
  dialog.showModal();
  (person.value ? (token.value ? send : token) : person).focus();
}

function showAnswer(dialog, answer, status) {
  const { message, replicas, behind } = answer;
  const weights = Object.entries(message.weights).map(([arm, weight]) => `${arm} ${percent(weight)}`).join(", ");
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
  replace(
    dialog,
    h("h2", { id: "dialog-title" }, `Done: version ${message.epoch}.${message.seq}`),
    h("p", {}, `Weights now: ${weights}`),
    replicas.length
      ? h("p", {}, `Applied by ${replicas.length - behind.length} of ${replicas.length} replicas${answer.applied_in_ms === null ? "" : ` in ${answer.applied_in_ms} ms`}${behind.length ? `; not yet by ${behind.join(", ")}` : ""}`)
      : h("p", { class: "muted" }, "No replica acknowledges on this route."),
    close,
  );
  status.say(`${message.route}: version ${message.epoch}.${message.seq} is in force`);
  close.focus();
}

// Before a server stops, the hub's home page says which files exist only in it; after, what became of them.

import { amount } from "./amounts.js";

const dialog = document.getElementById("stopping");
const lookAgain = 1000; // milliseconds, while a server stops
const lookFor = 30000; // milliseconds; the hub itself waits a little less

function part(within, name) {
  return within.querySelector(`[data-is="${name}"]`);
}

function tell(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

function count(number, thing) {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}

/** The JSON of the hub's answer, null when it is empty. Throws an Error that is a sentence. */
async function ask(url, { method = "GET", body, within } = {}) {
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers: { "X-XSRFToken": dialog.dataset.xsrf, "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
      signal: within && AbortSignal.timeout(within),
    });
  } catch {
    throw new Error("The service does not answer.");
  }
  const text = await answer.text();
  let said = null;
  try {
    said = text && JSON.parse(text);
  } catch {
    said = null;
  }
  if (!answer.ok) {
    throw new Error(said?.message || `That did not work (error ${answer.status}).`);
  }
  return said;
}

// --- servers, by name; that of the first one is empty

function api(server) {
  return dialog.dataset.servers + (server ? `/servers/${encodeURIComponent(server)}` : "/server");
}

function workarea(server, more = "") {
  return `${dialog.dataset.workarea}${more}?server=${encodeURIComponent(server)}`;
}

function newsOf(server) {
  return server
    ? document.querySelector(`[data-news="${CSS.escape(server)}"]`)
    : document.getElementById("stop-news");
}

// --- the notices

function item(text) {
  const element = document.createElement("li");
  element.textContent = text;
  return element;
}

function paragraph(text) {
  const element = document.createElement("p");
  element.textContent = text;
  return element;
}

async function showNotice(notice) {
  const { notice: told } = await ask(workarea(notice.dataset.server, "/notice"));
  if (told) {
    notice.classList.toggle("q-lost", told.lost);
    part(notice, "files").replaceChildren(...told.files.map(item));
    part(notice, "files").hidden = !told.files.length;
    notice.hidden = false;
    part(notice, "sentences").replaceChildren(...told.sentences.map(paragraph));
  }
}

async function dismiss(notice) {
  notice.hidden = true;
  await ask(workarea(notice.dataset.server, "/notice"), { method: "DELETE" }).catch(() => {
    notice.hidden = false;
  });
}

// --- the dialog

function choices(disabled) {
  for (const button of dialog.querySelectorAll("button")) {
    button.disabled = disabled;
  }
}

function row({ path, bytes }) {
  const line = document.createElement("tr");
  for (const text of [path, amount(bytes)]) {
    line.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  return line;
}

function notListed({ count: all, files, left_out: leftOut, complete, unseen }) {
  const words = [];
  if (all > files.length) {
    words.push(`${count(all - files.length, "more file")} of them, older than these.`);
  }
  if (!complete) {
    words.push("There are more files than could be looked at.");
  }
  if (unseen) {
    words.push(`${count(unseen, "place")} could not be read.`);
  }
  if (leftOut.length) {
    words.push(`Caches and environments are not copied: ${leftOut.join(", ")}.`);
  }
  return words.join(" ");
}

const NO_STORAGE = {
  away: "cloud_storage is not there now, so nothing can be copied.",
  "read-only": "cloud_storage is read-only now, so nothing can be copied.",
};

let stopping = ""; // the server that the dialog is about

/** Opens the dialog with what was found, or with why nothing is known. */
function offer(found, problem) {
  const save = dialog.querySelector('[data-does="save"]');
  // Where nobody could look, the server may still be able to copy by itself.
  const leave = dialog.querySelector('[data-does="leave"]');
  leave.textContent = found ? "Stop without copying" : "Stop my server";
  leave.dataset.workarea = found ? "leave" : "";
  save.hidden = !found || found.storage in NO_STORAGE;
  part(dialog, "title").textContent = stopping ? `Stop ${stopping}` : "Stop my server";
  tell(
    part(dialog, "says"),
    found
      ? `${count(found.count, "file")} (${amount(found.bytes)}) ${found.count === 1 ? "exists only in this server, and goes" : "exist only in this server, and go"} with it.`
      : "Files that exist only in this server are lost when it stops.",
  );
  part(dialog, "files").replaceChildren(...(found?.files ?? []).map(row));
  part(dialog, "listing").hidden = !found?.files.length;
  tell(part(dialog, "more"), found ? notListed(found) : "");
  tell(part(dialog, "problem"), problem || (found && NO_STORAGE[found.storage]) || "");
  tell(part(dialog, "working"), "");
  choices(false);
  dialog.showModal();
  (save.hidden ? dialog.querySelector('[data-does="keep"]') : save).focus();
}

/** Stops the server; `choice` says what becomes of its files. */
async function stop(choice) {
  choices(true);
  tell(part(dialog, "problem"), "");
  tell(part(dialog, "working"), choice === "save" ? "Copying, then stopping …" : "Stopping …");
  try {
    await ask(api(stopping), { method: "DELETE", body: choice && { workarea: choice } });
    await stopped();
  } catch (error) {
    tell(newsOf(stopping), "");
    if (!dialog.open) {
      offer(null, error.message);
      return;
    }
    tell(part(dialog, "working"), "");
    tell(part(dialog, "problem"), error.message);
    choices(false);
  }
}

/** Waits for the end of a stop that is slow, then shows the page as it is now. */
async function stopped() {
  const { running } = await ask(workarea(stopping, "/notice"));
  if (running) {
    setTimeout(() => stopped().catch(() => location.reload()), lookAgain);
  } else {
    location.reload();
  }
}

async function beforeStop(button) {
  stopping = button.dataset.server;
  const news = newsOf(stopping);
  button.disabled = true;
  tell(news, "Looking for files that exist only in your server …");
  let found = null;
  try {
    found = await ask(workarea(stopping), { within: lookFor });
  } catch (error) {
    tell(news, "");
    offer(null, error.message);
    return;
  } finally {
    button.disabled = false;
  }
  if (found.count || !found.complete || found.unseen) {
    tell(news, "");
    offer(found);
  } else {
    tell(news, "Stopping …");
    await stop();
  }
}

/** Forgets a server that does not run: its name and its options; it has no files of its own. */
async function remove(button) {
  button.disabled = true;
  try {
    await ask(api(button.dataset.server), { method: "DELETE", body: { remove: true } });
    location.reload();
  } catch (error) {
    tell(newsOf(button.dataset.server), error.message);
    button.disabled = false;
  }
}

function onClick(selector, does) {
  for (const button of document.querySelectorAll(selector)) {
    button.addEventListener("click", () => does(button));
  }
}

onClick('[data-does="stop"]', beforeStop);
onClick('[data-does="remove"]', remove);
onClick('.q-notice [data-does="dismiss"]', (button) => dismiss(button.closest(".q-notice")));
dialog.querySelector('[data-does="save"]').addEventListener("click", () => stop("save"));
dialog
  .querySelector('[data-does="leave"]')
  .addEventListener("click", ({ currentTarget }) => stop(currentTarget.dataset.workarea));
dialog.querySelector('[data-does="keep"]').addEventListener("click", () => dialog.close());
// While something is under way, Escape must not hide it.
dialog.addEventListener("cancel", (event) => {
  if (dialog.querySelector("button").disabled) {
    event.preventDefault();
  }
});
for (const notice of document.querySelectorAll(".q-notice")) {
  showNotice(notice).catch(() => {}); // storage.js says that the service does not answer
}

// Says on the hub's home page how a person's files are, and keeps it up to date.
import { amount } from "./amounts.js";
import { offerCleanUp, showQuota } from "./quota.js";

const storage = document.getElementById("storage");
const takeOver = storage.querySelector('[data-is="take-over"]'); // only from a node that is silent
const every = 5000; // milliseconds
const headers = { "X-XSRFToken": storage.dataset.xsrf };

function set(name, text) {
  const element = storage.querySelector(`[data-is="${name}"]`);
  element.textContent = text;
  element.hidden = !text;
}

function list(name, texts) {
  const element = storage.querySelector(`[data-is="${name}"]`);
  element.replaceChildren(
    ...texts.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }),
  );
  element.hidden = !texts.length;
}

function show(told) {
  const { level, message, pending, refused, rescued, conflicts, user, quota, node, lease } = told;
  const local = told.local_quota;
  storage.dataset.level = level;
  takeOver.hidden = !lease?.stale;
  set("holder", lease?.node ?? "");
  set("message", message);
  showQuota(quota);
  set("local", local ? `In local, on ${node}: ${local.text}` : "");
  const files = pending.files === 1 ? "1 file" : `${pending.files} files`;
  set("pending", pending.files ? `Not in the object store yet: ${files}, ${amount(pending.bytes)}` : "");
  list("refused", refused.map((file) => `${file.path}: ${file.reason}`));
  list("conflicts", conflicts?.length > 1 ? conflicts : []); // the message names a single one
  set("rescued", rescued ? `Kept for you in cloud_storage/${user}/.quaderno/rescued: ${rescued}` : "");
}

async function request(method, path) {
  try {
    const answer = await fetch(storage.dataset.url + path, { method, headers });
    const body = await answer.json();
    if (answer.ok) {
      show(body);
    } else {
      storage.dataset.level = "warning";
      set("message", body.message || "How your files are is not known now.");
    }
  } catch {
    storage.dataset.level = "warning";
    set("message", "The service does not answer. Nothing is lost; look again in a moment.");
  }
}

async function ask() {
  if (!document.hidden) {
    await request("GET", "");
  }
  setTimeout(ask, every);
}

takeOver.querySelector("button").addEventListener("click", () => request("POST", "/take-over"));
offerCleanUp(storage.dataset.url, headers, show);
ask();

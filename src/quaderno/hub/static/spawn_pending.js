// Shows the steps of a starting server as the hub streams them, and goes there when it is ready.
"use strict";

const settings = document.currentScript.dataset;
const progress = document.getElementById("progress");
const bar = document.getElementById("progress-bar");
const message = document.getElementById("progress-message");
const steps = document.getElementById("progress-steps");
const cancel = document.getElementById("stop-server");
const log = document.getElementById("server-log");
const lines = log.querySelector("pre");
const lookAgain = 2000; // milliseconds

function showProgress(percent) {
  progress.setAttribute("aria-valuenow", String(percent));
  bar.style.width = `${percent}%`;
}

function newStep(name) {
  const item = document.createElement("li");
  item.dataset.step = name;
  const seconds = document.createElement("span");
  seconds.className = "q-seconds";
  const share = document.createElement("progress");
  share.max = 100;
  share.setAttribute("aria-label", "Progress of this step");
  item.append(document.createElement("span"), share, seconds);
  steps.append(item);
  return item;
}

function showStep(event) {
  const known = steps.querySelector(`[data-step="${CSS.escape(event.step)}"]`);
  const item = known || newStep(event.step);
  const [text, share, seconds] = item.children;
  item.dataset.state = event.state;
  text.textContent = event.message;
  share.hidden = event.percent === undefined;
  if (!share.hidden) share.value = event.percent;
  seconds.textContent = event.seconds === undefined ? "" : `${event.seconds.toFixed(2)} s`;
}

const events = new EventSource(settings.events);
events.onmessage = (received) => {
  const event = JSON.parse(received.data);
  if (event.progress !== undefined) showProgress(event.progress);
  if (event.step) showStep(event);
  if (event.ready) {
    events.close();
    window.location.assign(event.url);
    return;
  }
  if (event.failed) {
    // The hub renders what went wrong at this very address.
    events.close();
    window.location.reload();
    return;
  }
  // Screen readers speak this line: not every per cent of a download.
  const spoken = event.message && event.state !== "done" && event.percent === undefined;
  if (spoken) message.textContent = event.message;
};

// The stream ends without a last event when the hub does; the next one knows what became of the start.
async function lookForHub() {
  const answer = await fetch(settings.health).catch(() => null);
  if (answer?.ok) {
    window.location.reload();
  } else {
    setTimeout(lookForHub, lookAgain);
  }
}

events.onerror = () => {
  if (events.readyState === EventSource.CLOSED) {
    message.textContent = "The service does not answer. This page goes on as soon as it does.";
    setTimeout(lookForHub, lookAgain);
  }
};

cancel.addEventListener("click", async () => {
  cancel.disabled = true;
  message.textContent = "Cancelling…";
  const answer = await fetch(settings.server, {
    method: "DELETE",
    headers: { "X-XSRFToken": settings.xsrf },
  }).catch(() => null);
  if (answer?.ok) {
    events.close();
    window.location.assign(settings.home);
  } else {
    cancel.disabled = false;
    message.textContent = "The start could not be cancelled. It goes on.";
  }
});

// --- what the server says, while somebody looks

let next;

async function showLog() {
  clearTimeout(next);
  if (!log.open) return;
  const answer = await fetch(log.dataset.url, { headers: { "X-XSRFToken": settings.xsrf } }).catch(
    () => null,
  );
  const said = answer?.ok ? (await answer.json()).lines.join("\n") : "";
  if (said && said !== lines.textContent) {
    lines.textContent = said;
    lines.scrollTop = lines.scrollHeight;
  }
  next = setTimeout(showLog, lookAgain);
}

log.addEventListener("toggle", showLog);

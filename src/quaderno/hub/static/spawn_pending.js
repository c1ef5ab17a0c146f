// Shows the steps of a starting server as the hub streams them, and goes there when it is ready.
"use strict";

const settings = document.currentScript.dataset;
const progress = document.getElementById("progress");
const bar = document.getElementById("progress-bar");
const message = document.getElementById("progress-message");
const steps = document.getElementById("progress-steps");
const cancel = document.getElementById("stop-server");

function showProgress(percent) {
  progress.setAttribute("aria-valuenow", String(percent));
  bar.style.width = `${percent}%`;
}

function showStep(event) {
  let item = steps.querySelector(`[data-step="${CSS.escape(event.step)}"]`);
  if (!item) {
    item = document.createElement("li");
    item.dataset.step = event.step;
    item.append(document.createElement("span"), document.createElement("span"));
    item.lastChild.className = "q-seconds";
    steps.append(item);
  }
  item.dataset.state = event.state;
  item.firstChild.textContent = event.message;
  item.lastChild.textContent = event.seconds === undefined ? "" : `${event.seconds.toFixed(2)} s`;
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
  if (event.message && event.state !== "done") message.textContent = event.message;
};

cancel.addEventListener("click", async () => {
  cancel.disabled = true;
  message.textContent = "Cancelling…";
  const answer = await fetch(settings.server, {
    method: "DELETE",
    headers: { "X-XSRFToken": settings.xsrf },
  });
  if (answer.ok) {
    events.close();
    window.location.assign(settings.home);
  } else {
    cancel.disabled = false;
    message.textContent = "The start could not be cancelled. It goes on.";
  }
});

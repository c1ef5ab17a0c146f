// Says of an image of one's own, when its reference is typed, whether a server can start from it.
// Without this script, and where it gets no answer, the start itself says so.

const field = document.getElementById("own_image");
const said = document.getElementById("own-image-check");
const pause = 600; // milliseconds without a key until the service is asked
let timer = 0;
let asking = new AbortController();

function show(level, message) {
  said.dataset.level = level;
  said.textContent = message;
  const refused = level === "refused";
  field.setCustomValidity(refused ? message : "");
  field.setAttribute("aria-invalid", String(refused));
}

async function check(image, signal) {
  show("busy", "Looking for this image…");
  try {
    const answer = await fetch(said.dataset.url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-XSRFToken": said.dataset.xsrf },
      body: JSON.stringify({ image }),
      signal,
    });
    const found = answer.ok ? await answer.json() : null;
    if (!signal.aborted) {
      show(found?.level ?? "warning", found?.message ?? "This image is looked for when the server starts.");
    }
  } catch {
    if (!signal.aborted) {
      show("warning", "This image is looked for when the server starts.");
    }
  }
}

function changed(after) {
  clearTimeout(timer);
  asking.abort();
  asking = new AbortController();
  show("", "");
  const image = field.value.trim();
  if (image) {
    timer = setTimeout(check, after, image, asking.signal);
  }
}

field.addEventListener("input", () => changed(pause));
// The browser cannot show what is wrong with a field that is folded away.
field.addEventListener("invalid", () => { field.closest("details").open = true; });
changed(0);

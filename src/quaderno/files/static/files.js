// What the pages do besides: dates in local time, arrow keys, copying, the quota. They work without.

for (const time of document.querySelectorAll("time")) {
  const date = new Date(time.dateTime);
  time.title = time.dateTime;
  time.textContent = date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

// Up and Down go from name to name.
const names = [...document.querySelectorAll(".f-list .f-name a")];
document.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const row = document.activeElement?.closest(".f-list tbody tr");
  if (step && row) {
    const next = names[names.indexOf(row.querySelector(".f-name a")) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }
});

for (const code of document.querySelectorAll(".f-addresses code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-sm btn-outline-secondary ms-2";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  });
  code.after(button);
}

document.getElementById("link")?.select();

const upload = document.getElementById("upload");
if (upload) {
  const { offerUpload } = await import(upload.dataset.script);
  offerUpload(upload, document.getElementById("uploads"));
}

// How much of the quota is used, where the service knows it.
const usage = document.getElementById("usage");
if (usage) {
  const answer = await fetch(usage.dataset.url, { headers: { "X-XSRFToken": usage.dataset.xsrf } });
  const { quota } = answer.ok ? await answer.json() : {};
  if (quota) {
    const meter = usage.querySelector("meter");
    meter.hidden = !quota.limit;
    meter.value = quota.limit ? quota.used / quota.limit : 0;
    usage.querySelector("label").textContent = quota.text;
    usage.querySelector("p").hidden = meter.value < 0.8;
    usage.hidden = false;
  }
}

// What the pages do besides: dates in local time, keys, filter, copying, the quota. They work without.

for (const time of document.querySelectorAll("time")) {
  const date = new Date(time.dateTime);
  time.title = time.dateTime;
  time.textContent = date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

// Keys: up, down, Home and End go from name to name, the space bar chooses, "/" is for finding.
const rows = [...document.querySelectorAll(".f-list tbody tr")];
const nameIn = (row) => row.querySelector(".f-name a");
const find = document.getElementById("find");

function rowFor(key, row) {
  const shown = rows.filter((one) => !one.hidden);
  const step = { ArrowDown: 1, ArrowUp: -1 }[key];
  return step ? shown[shown.indexOf(row) + step] : { Home: shown[0], End: shown.at(-1) }[key];
}

document.addEventListener("keydown", (event) => {
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  const writing = event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
  const row = event.target.closest(".f-list tbody tr");
  const next = plain && row && rowFor(event.key, row);
  const box = row?.querySelector("input[type=checkbox]");
  if (next) {
    nameIn(next).focus();
  } else if (plain && event.key === " " && box && event.target !== box) {
    box.click();
  } else if (plain && event.key === "/" && find && !writing) {
    find.focus();
  } else {
    return;
  }
  event.preventDefault();
});

// What is typed hides other names on this page at once; Enter finds below.
const filtered = document.getElementById("filtered");
const comparable = (text) => text.normalize("NFC").toLowerCase();
const filter = () => {
  const words = comparable(find.value).split(/\s+/).filter(Boolean);
  for (const row of rows) {
    const name = comparable(nameIn(row).textContent);
    row.hidden = !words.every((word) => name.includes(word));
  }
  const count = rows.filter((row) => !row.hidden).length;
  filtered.hidden = !words.length;
  filtered.textContent = `${count} of ${rows.length} on this page; press Enter to look in all folders below.`;
};
if (find && filtered) {
  find.addEventListener("input", filter);
}

// The box at the head of the others; there is something to delete when something is chosen.
const boxes = rows.map((row) => row.querySelector("input[type=checkbox]")).filter(Boolean);
const all = document.getElementById("all");
const remove = document.getElementById("delete");
if (all && remove) {
  const count = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    all.checked = chosen === boxes.length;
    all.indeterminate = chosen > 0 && !all.checked;
    remove.disabled = chosen === 0;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) {
      box.checked = all.checked && !box.closest("tr").hidden;
    }
    count();
  });
  for (const box of boxes) {
    box.addEventListener("change", count);
  }
  count();
}

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

const parquet = document.getElementById("parquet");
if (parquet) {
  const { showParquet } = await import(parquet.dataset.script);
  showParquet(parquet);
}

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

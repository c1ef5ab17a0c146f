// Keeps the link to the form's choices up to date, and copies it. Without this, it is that of the choices shown first.

const link = document.getElementById("link");
const copy = document.getElementById("copy-link");
const news = document.getElementById("link-news");
const form = document.getElementById("spawn_form");

function show() {
  const chosen = new FormData(form);
  const asked = new URLSearchParams();
  asked.set("opt-image", chosen.get("own_image")?.trim() || chosen.get("image"));
  for (const name of ["cpu", "memory"]) {
    if (chosen.has(name)) asked.set(`opt-${name}`, chosen.get(name));
  }
  if (Number(chosen.get("gpu"))) asked.set("opt-gpu", chosen.get("gpu"));
  link.value = `${link.dataset.form}?${asked}`;
  news.textContent = "";
}

copy.hidden = !navigator.clipboard; // only where the page is served with TLS, or from this machine
copy.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(link.value);
    news.textContent = "Copied.";
  } catch {
    link.select();
    news.textContent = "Copy the selected link.";
  }
});
form.addEventListener("input", show);
form.addEventListener("change", show);
show();

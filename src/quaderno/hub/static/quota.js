// How much of a person's quota is used, on the hub's home page, and asking to be let in to clean up.

const quotaPart = document.getElementById("quota");
const cleanUp = quotaPart.querySelector("button");

export function showQuota(quota) {
  quotaPart.hidden = !quota;
  if (quota) {
    const part = quota.limit ? quota.used / quota.limit : 0;
    const meter = quotaPart.querySelector("meter");
    meter.value = part;
    meter.hidden = !quota.limit;
    const text = quota.limit ? `${quota.text} (${Math.round(part * 100)} %)` : quota.text;
    quotaPart.querySelector("label").textContent = text;
    cleanUp.parentElement.hidden = !quota.full || quota.cleaning !== null;
  }
}

// Calls `show` with how the files are after the storage of `url` may be written to for a while.
export function offerCleanUp(url, headers, show) {
  cleanUp.addEventListener("click", async () => {
    cleanUp.disabled = true;
    try {
      const answer = await fetch(`${url}/clean-up`, { method: "POST", headers });
      if (answer.ok) {
        show(await answer.json());
      }
    } finally {
      cleanUp.disabled = false;
    }
  });
}

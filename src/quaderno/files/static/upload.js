// Uploading with Uppy to addresses that this page signs: the store's, or where browsers do not reach it, a relay's.

let button;

async function send(page, question) {
  return fetch(button.dataset.base + page, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-XSRFToken": button.dataset.xsrf },
    body: JSON.stringify({ area: button.dataset.area, ...question }),
  });
}

// What the page answers; where the login has ended meanwhile, after it has been renewed.
async function ask(page, question) {
  for (;;) {
    const answer = await send(page, question);
    const told = await answer.json();
    if (answer.ok) {
      return told;
    }
    if (!told.renew) {
      throw new Error(told.message);
    }
    renewal ??= logInAgain().finally(() => { renewal = undefined; });
    await renewal;
  }
}

let renewal;

// Opens the login in a window of its own, and goes on with the token of the page that it ends at.
function logInAgain() {
  const dialog = document.createElement("dialog");
  dialog.className = "q-dialog";
  dialog.setAttribute("aria-label", "Your login has ended");
  const text = document.createElement("p");
  text.textContent = "Your login has ended. Log in again, and the upload goes on.";
  const open = document.createElement("button");
  open.className = "btn btn-primary";
  open.textContent = "Log in again";
  dialog.append(text, open);
  document.body.append(dialog);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
  return new Promise((resolve) => {
    open.addEventListener("click", () => {
      const login = window.open(button.dataset.base);
      const look = setInterval(() => {
        const token = tokenIn(login);
        if (token || !login || login.closed) {
          clearInterval(look);
        }
        if (token) {
          button.dataset.xsrf = token;
          login.close();
          dialog.remove();
          resolve();
        }
      }, 200);
    });
  });
}

// The token of our page in another window; none while that is at the login, elsewhere perhaps.
function tokenIn(other) {
  try {
    return other.location.pathname === button.dataset.base && other.document.querySelector("[data-xsrf]")?.dataset.xsrf;
  } catch {
    return undefined;
  }
}

// The key under which a file is stored: its way in the folder that was dropped, below this folder.
function keyOf(file) {
  const way = (file.meta.relativePath || file.name).replace(/^\/+/, "");
  return file.meta.key ?? button.dataset.prefix + way;
}

// What to do with files that exist: "replace", "both", "skip", or "" when nobody answers.
function choose(count) {
  const dialog = document.createElement("dialog");
  dialog.className = "q-dialog";
  dialog.setAttribute("aria-label", "Files that exist already");
  const text = document.createElement("p");
  text.textContent = count === 1 ? "A file of this name is here already." : `${count} files of these names are here already.`;
  const form = document.createElement("form");
  form.method = "dialog";
  form.className = "q-choices";
  for (const [value, label] of [["replace", "Replace"], ["both", "Keep both"], ["skip", "Skip"]]) {
    const choice = document.createElement("button");
    choice.value = value;
    choice.textContent = label;
    choice.className = "btn btn-outline-primary";
    form.append(choice);
  }
  dialog.append(text, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}

async function settleConflicts(uppy, ids) {
  const files = ids.map((id) => uppy.getFile(id)).filter(Boolean);
  const taken = Object.create(null); // names may be those that objects have of themselves
  for (let i = 0; i < files.length; i += 100) {
    Object.assign(taken, (await ask("taken", { keys: files.slice(i, i + 100).map(keyOf) })).taken);
  }
  const conflicting = files.filter((file) => keyOf(file) in taken);
  const choice = conflicting.length ? await choose(conflicting.length) : "replace";
  for (const file of conflicting) {
    if (choice === "both") {
      uppy.setFileMeta(file.id, { key: taken[keyOf(file)] });
    } else if (choice !== "replace") {
      uppy.removeFile(file.id);
    }
  }
}

async function open(place) {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = button.dataset.style;
  document.head.append(style);
  const { Uppy, Dashboard, DropTarget, AwsS3 } = await import(button.dataset.bundle);
  const uppy = new Uppy({ id: `files-${button.dataset.area}-${button.dataset.prefix}` });
  uppy.use(Dashboard, {
    inline: true,
    target: place,
    width: "100%",
    height: 320,
    fileManagerSelectionType: "both",
    proudlyDisplayPoweredByUppy: false,
    disableThumbnailGenerator: true,
    theme: document.documentElement.dataset.bsTheme === "dark" ? "dark" : "light",
    note: "direct" in button.dataset ? "Files and whole folders. They go straight to the object store." : "Files and whole folders.",
  });
  uppy.use(DropTarget, { target: document.body }); // also beside the uploader
  uppy.use(AwsS3, {
    shouldUseMultipart: (file) => file.size > 50 * 2 ** 20,
    getChunkSize: (file) => Math.max(16 * 2 ** 20, Math.ceil(file.size / 9000)),
    generateObjectKey: keyOf,
    signRequest: (request) => ask("sign", request),
    allowedMetaFields: [],
    limit: 4,
  });
  uppy.addPreProcessor((ids) => settleConflicts(uppy, ids));
  uppy.on("complete", (result) => {
    if (result.successful.length && !result.failed.length) {
      location.reload();
    }
  });
  // What a lost connection ended goes on where it was, once there is one again.
  window.addEventListener("online", () => {
    if (uppy.getFiles().some((file) => file.error)) {
      uppy.retryAll();
    }
  });
  window.addEventListener("beforeunload", (event) => {
    const uploading = uppy.getFiles().some((file) => file.progress.uploadStarted && !file.progress.uploadComplete);
    if (uploading) {
      event.preventDefault();
    }
  });
}

// Shows the uploader in `place` when it is wanted, or when files are dragged over the page.
export function offerUpload(theButton, place) {
  button = theButton;
  button.hidden = false;
  let opened;
  const start = () => {
    place.hidden = false;
    opened ??= open(place);
  };
  button.addEventListener("click", start);
  const dragged = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => dragged(event) && start());
  for (const kind of ["dragover", "drop"]) {
    // Else the browser would leave the page and show the file.
    document.addEventListener(kind, (event) => dragged(event) && event.preventDefault());
  }
}

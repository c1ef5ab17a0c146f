/** The popup: what the item in the status bar has no room for. Names and reasons are text. */

import { filesPage } from './files.js';

const UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB'];
const MANY = 20; // refused files that are named; the rest are counted

/**
 * A dialog that opens with `open` and says what `show` was last given; `home` is the hub's, and
 * `more` comes after; `cleanUp` has a full bucket writable for a while.
 */
export function details(home, more, cleanUp) {
  const dialog = element('dialog', { id: 'quaderno-details' });
  dialog.setAttribute('aria-labelledby', 'quaderno-details-title');
  const content = element('div');
  const close = element('button', { type: 'button', textContent: 'Close' });
  close.className = 'jp-Dialog-button jp-mod-accept jp-mod-styled';
  close.onclick = () => dialog.close();
  const footer = element('footer');
  footer.append(close);
  dialog.append(content, more, footer);
  // A click beside the dialog is one on its backdrop, which belongs to it.
  dialog.addEventListener('click', ({ target }) => {
    if (target === dialog) {
      dialog.close();
    }
  });
  document.body.append(dialog);
  return {
    open: () => dialog.showModal(),
    show: health => {
      dialog.dataset.level = health.level;
      const focused = content.contains(document.activeElement) && document.activeElement.textContent;
      content.replaceChildren(...paragraphs(health, home, cleanUp));
      // What is on the way to be pressed goes on being so, though it is another element.
      const same = [...content.querySelectorAll('a, button')].find(
        ({ textContent }) => textContent === focused
      );
      same?.focus();
    }
  };
}

function paragraphs({ label, message, storage, login }, home, cleanUp) {
  return [
    element('h2', { id: 'quaderno-details-title', textContent: label }),
    paragraph(message),
    ...(storage ? aboutStorage(storage, cleanUp) : []),
    ...aboutLogin(login, message),
    home && login.ok ? linkTo(filesPage(home), 'Your files in the browser') : '',
    home ? linkTo(home, login.ok ? 'Hub Control Panel' : 'Log in again') : ''
  ].filter(Boolean);
}

function aboutLogin(login, message) {
  if (login.ok) {
    return login.expires_at ? [paragraph(validity(login.expires_at))] : [];
  }
  return [
    login.message && login.message !== message ? paragraph(login.message) : '',
    paragraph('The link opens another tab. Log in there and come back: this page goes on.')
  ];
}

/** `seconds` is Unix time. */
function validity(seconds) {
  const options = { hour: '2-digit', minute: '2-digit' };
  const until = new Date(1000 * seconds).toLocaleTimeString([], options);
  return `You are logged in. Your access token is valid until ${until}, and is renewed by itself.`;
}

function aboutStorage(storage, cleanUp) {
  const { user, pending, refused, rescued, read_only: readOnly, quota, node, local_quota: local } =
    storage;
  return [
    pending?.files ? paragraph(waiting(pending)) : '',
    readOnly && !quota?.full ? paragraph('Your storage can be read, but not written to now.') : '',
    ...(refused?.length ? refusals(refused) : []),
    rescued ? rescuedFiles(rescued, user) : '',
    quota ? paragraph(`In your bucket: ${quota.text}.`) : '',
    local ? paragraph(`In local, on ${node}: ${local.text}.`) : '',
    quota?.full && quota.cleaning === null ? offerCleanUp(cleanUp) : ''
  ];
}

function waiting({ files, bytes, oldest }) {
  const since = oldest >= 1 ? `, the first for ${duration(oldest)}` : '';
  const what = `${count(files, 'file')} (${size(bytes)})`;
  return `${what} ${files === 1 ? 'is' : 'are'} not in the object store yet${since}. You can go on working.`;
}

function refusals(refused) {
  const list = element('ul');
  for (const { path, reason } of refused.slice(0, MANY)) {
    const item = element('li');
    item.append(element('code', { textContent: path }), `: ${reason}`);
    list.append(item);
  }
  if (refused.length > MANY) {
    list.append(element('li', { textContent: `and ${refused.length - MANY} more` }));
  }
  const advice = 'They are kept on this machine. Remove the cause, then save them again.';
  return [paragraph('The object store refused:'), list, paragraph(advice)];
}

function rescuedFiles(rescued, user) {
  const said = paragraph(`${count(rescued, 'file')} kept aside, for you to look at, in `);
  const path = `cloud_storage/${user}/.quaderno/rescued/`;
  said.append(element('code', { textContent: path }), '.');
  return said;
}

function offerCleanUp(cleanUp) {
  const said = paragraph('To delete files here, let it be written to for 15 minutes: ');
  const button = element('button', { type: 'button', textContent: 'Let me delete files' });
  button.className = 'jp-Dialog-button jp-mod-styled';
  button.onclick = async () => {
    button.disabled = true;
    try {
      await cleanUp();
    } finally {
      button.disabled = false;
    }
  };
  said.append(button);
  return said;
}

function linkTo(href, textContent) {
  const said = element('p');
  said.append(element('a', { href, textContent, target: '_blank', rel: 'noopener' }));
  return said;
}

export function count(number, thing) {
  return `${number} ${thing}${number === 1 ? '' : 's'}`;
}

export function size(bytes) {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  const value = bytes / 1000 ** power;
  return `${power && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}

function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  return minutes < 1 ? count(Math.round(seconds), 'second') : count(minutes, 'minute');
}

function paragraph(textContent) {
  return element('p', { textContent });
}

export function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

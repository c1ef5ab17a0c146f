/** The item in the status bar: one button that says how storage and login are. */
import { details } from './details.js';
import { icon } from './icons.js';
import { poll } from './polling.js';
import { onlyHere } from './workarea.js';

const UNANSWERED = {
  level: 'warning',
  label: 'Server away',
  message: 'Your server does not answer; what is not saved is still in this page',
  storage: null,
  login: { ok: true, message: '', expires_at: null }
};
const TURNED_AWAY = {
  level: 'warning',
  label: 'Log in again',
  message: 'Your login has ended, and your server lets nobody in; what is not saved is still in this page',
  storage: null,
  login: { ok: false, message: '', expires_at: null }
};

/** Part: the item, its popup, and the questions that keep both true. */
export async function addStatus({ app, statusBar, shared, server }) {
  if (!statusBar) {
    return;
  }
  const [{ Widget }, { PageConfig }] = await Promise.all([
    shared('@lumino/widgets'),
    shared('@jupyterlab/coreutils'),
    stylesheet('style.css')
  ]);
  const hub = PageConfig.getOption('hubPrefix');
  const home = hub && `${PageConfig.getOption('hubHost')}${hub}home`;
  const files = onlyHere(server);
  const popup = details(home, files.node, async () => {
    await server('clean-up', 'POST');
    await look();
  });
  const button = makeButton(() => {
    popup.open();
    files.look();
  });
  const news = element('span', { className: 'quaderno-news', ariaLive: 'polite' });

  const show = health => {
    const changed = button.dataset.level !== health.level;
    button.dataset.level = health.level;
    button.title = health.message;
    button.replaceChildren(icon(health.level), element('span', { textContent: health.label }));
    popup.show(health);
    // A number that counts down would be read out each time; that the level changes is news.
    if (changed) {
      news.textContent = `Storage: ${health.label}. ${health.message}`;
    }
  };
  let shown = false;
  const look = async () => {
    const health = await server('health').catch(unanswered);
    show(health);
    if (!shown) {
      shown = true;
      const item = new Widget({ node: element('div', { className: 'quaderno-item' }) });
      item.node.append(button, news);
      statusBar.registerStatusItem('quaderno:storage', { item, align: 'right', rank: 0, priority: 1 });
    }
    return health.level !== 'ok' && health !== UNANSWERED;
  };
  const lookSoon = poll(look);
  app.serviceManager.contents.fileChanged.connect((_, { type }) => {
    if (type === 'save' || type === 'new') {
      lookSoon();
    }
  });
}

function unanswered({ response }) {
  return [401, 403].includes(response?.status) ? TURNED_AWAY : UNANSWERED;
}

function makeButton(open) {
  const button = element('button', { id: 'quaderno-storage', type: 'button', onclick: open });
  button.setAttribute('aria-haspopup', 'dialog');
  return button;
}

/** Loads a style sheet of this directory; resolves when it applies. */
function stylesheet(name) {
  return new Promise((resolve, reject) => {
    const link = element('link', { rel: 'stylesheet', href: new URL(name, import.meta.url).href });
    link.onload = resolve;
    link.onerror = () => reject(new Error(`${link.href} cannot be loaded`));
    document.head.append(link);
  });
}

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

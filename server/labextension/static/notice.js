/** What became of the last server's files: told once, when there is something to tell. */
import { element } from './details.js';

/** Part: a notification that stays, with all of it behind a button. */
export async function addNotice({ shared, server }) {
  const { notice } = await server('notice', 'POST');
  if (!notice) {
    return;
  }
  const [{ Dialog, Notification, showDialog }, { Widget }] = await Promise.all([
    shared('@jupyterlab/apputils'),
    shared('@lumino/widgets')
  ]);
  const details = () =>
    showDialog({
      title: 'Your last server',
      body: new Widget({ node: body(notice) }),
      buttons: [Dialog.okButton({ label: 'Close' })]
    });
  const tell = notice.lost ? Notification.warning : Notification.info;
  tell(notice.lost ? 'Files of your last server are gone.' : notice.sentences.join(' '), {
    autoClose: false,
    actions: [{ label: 'Details', caption: 'What became of its files', callback: details }]
  });
}

function body({ sentences, files }) {
  const node = element('div', { className: 'quaderno-notice' });
  const list = element('ul');
  list.append(...files.map(textContent => element('li', { textContent })));
  node.append(...sentences.map(textContent => element('p', { textContent })), list);
  return node;
}

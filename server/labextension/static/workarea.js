/** In the popup: how much exists only in this server, and a button that copies it. */
import { count, element, size } from './details.js';

const REASONS = {
  name: 'cloud_storage cannot have this name',
  storage: 'cloud_storage did not take it',
  time: 'it took too long',
  unreadable: 'it cannot be read'
};
const NO_STORAGE = {
  away: 'cloud_storage is not there now.',
  full: 'There is no room left in cloud_storage.',
  'read-only': 'cloud_storage is read-only now.'
};

/** A `node` for the popup, and `look`, which asks `server` only now: it takes a moment. */
export function onlyHere(server) {
  const node = element('section', { id: 'quaderno-only-here' });
  const says = element('p');
  says.setAttribute('role', 'status');
  const list = element('ul', { hidden: true });
  const copy = element('button', {
    type: 'button',
    className: 'jp-Dialog-button jp-mod-reject jp-mod-styled',
    textContent: 'Copy to cloud_storage',
    hidden: true
  });
  node.append(says, list, copy);

  const tell = (words, files = []) => {
    says.textContent = words;
    list.replaceChildren(...files.map(textContent => element('li', { textContent })));
    list.hidden = !files.length;
  };
  const ask = async (method, meanwhile, then) => {
    copy.hidden = true;
    tell(meanwhile);
    try {
      then(await server('workarea', method));
    } catch {
      tell('Which files exist only in this server is not known now.');
    }
  };
  const found = ({ count: all, bytes, complete, storage }) => {
    if (!all && complete) {
      return tell('No file exists only in this server.');
    }
    const what = `${complete ? '' : 'At least '}${count(all, 'file')} (${size(bytes)})`;
    const verb = all === 1 ? 'exists' : 'exist';
    tell(`${what} ${verb} only in this server. ${NO_STORAGE[storage] ?? ''}`);
    copy.hidden = storage in NO_STORAGE;
  };
  const copied = ({ directory, copied: done, left, storage }) => {
    const where = directory ? ` to ${directory}/` : '';
    const rest = left.count ? ` ${count(left.count, 'file')} could not be copied.` : '';
    tell(
      `${count(done.count, 'file')} (${size(done.bytes)}) copied${where}.${rest} ${NO_STORAGE[storage] ?? ''}`,
      left.files.map(({ path, reason }) => `${path}: ${REASONS[reason] ?? reason}`)
    );
  };
  copy.onclick = () => ask('POST', 'Copying …', copied);
  return { node, look: () => ask('GET', 'Looking for files that exist only here …', found) };
}

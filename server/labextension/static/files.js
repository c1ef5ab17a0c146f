/** The service's page of files, where the same files can be shared, found and previewed. */

/** The address of that page, from the hub's `home`. */
export const filesPage = home => home.replace(/hub\/home$/, 'services/files/');

/** Part: in the file browser's menu, what is in the object store can be opened there. */
export async function addFiles({ app, fileBrowser, shared }) {
  const { PageConfig } = await shared('@jupyterlab/coreutils');
  const hub = PageConfig.getOption('hubPrefix');
  if (!fileBrowser || !hub) {
    return;
  }
  const page = filesPage(`${PageConfig.getOption('hubHost')}${hub}home`);
  const address = () => {
    const [item] = fileBrowser.selectedItems();
    return item && addressOf(page, item, PageConfig.getOption('hubUser'));
  };
  const command = 'quaderno:show-in-files';
  app.commands.addCommand(command, {
    label: 'Share, Versions … (Files)',
    isVisible: () => Boolean(address()),
    execute: () => window.open(address(), '_blank', 'noopener')
  });
  app.contextMenu.addItem({ command, selector: '.jp-DirListing-item[data-isdir]', rank: 9 });
}

/** Of a file or directory below cloud_storage; nothing for any other. */
function addressOf(page, { path, type }, user) {
  const [, directory, key] = path.match(/^cloud_storage\/([^/]+)\/(.+)$/) ?? [];
  const area = { [user]: 'home', scratch: 'scratch' }[directory];
  const name = encodeURIComponent(type === 'directory' ? `${key}/` : key);
  return area && `${page}item?area=${area}&key=${name}`;
}

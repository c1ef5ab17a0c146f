/**
 * What JupyterLab loads: a container in the sense of webpack's module federation, by hand.
 *
 * JupyterLab waits for this script before it starts, so it is small; everything else is loaded
 * once the page is there. Interface: https://webpack.js.org/concepts/module-federation/
 */
(() => {
  const here = document.currentScript.src;
  let scope = {};

  /** A module that JupyterLab shares: the copy that is in use, else the only one. */
  async function shared(name) {
    const copies = Object.values(scope[name] ?? {});
    const copy = copies.find(({ loaded }) => loaded) ?? copies[0];
    if (!copy) {
      throw new Error(`This JupyterLab does not share ${name}`);
    }
    return (await copy.get())();
  }

  async function extension() {
    const [{ IStatusBar }, { IDefaultFileBrowser }] = await Promise.all([
      shared('@jupyterlab/statusbar'),
      shared('@jupyterlab/filebrowser')
    ]);
    const plugin = {
      id: 'quaderno:lab',
      description: 'Storage and login in the status bar; refresh of what was changed elsewhere',
      autoStart: true,
      optional: [IStatusBar, IDefaultFileBrowser],
      // Returns nothing: JupyterLab's start must not wait for it.
      activate: (app, statusBar, fileBrowser) => {
        app.restored
          .then(() => import(new URL('index.js', here).href))
          .then(({ start }) => start({ app, statusBar, fileBrowser, shared }))
          .catch(error => console.error('Quaderno is not in the status bar:', error));
      }
    };
    return { __esModule: true, default: plugin };
  }

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.quaderno = {
    init: given => {
      scope = given;
    },
    get: async module => {
      if (module !== './extension') {
        throw new Error(`No module ${module} in quaderno`);
      }
      const exported = await extension();
      return () => exported;
    }
  };
})();

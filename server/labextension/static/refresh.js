/** The file browser's refresh also shows what was changed elsewhere, through S3 for instance. */

/** Part: after JupyterLab's own refresh, have the mounts look again, then list once more. */
export function addRefresh({ app, fileBrowser, server }) {
  if (!fileBrowser) {
    return;
  }
  let running = false;
  const refresh = async () => {
    if (running) {
      return;
    }
    running = true;
    try {
      const { refreshed, message } = await server('refresh', 'POST');
      if (refreshed) {
        await fileBrowser.model.refresh();
      } else {
        console.warn(`Not everything may be listed: ${message}`);
      }
    } catch (error) {
      console.warn('Not everything may be listed:', error);
    } finally {
      running = false;
    }
  };
  app.commands.commandExecuted.connect((_, { id }) => {
    if (id === 'filebrowser:refresh') {
      void refresh();
    }
  });
}

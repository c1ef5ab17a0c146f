/**
 * What Quaderno adds to JupyterLab. Each part is a function of `lab`:
 * {app, statusBar, fileBrowser, shared, server}; the first three are JupyterLab's own, `shared`
 * gives its modules by name, `server` asks this server's own routes.
 */
import { addFiles } from './files.js';
import { addNotice } from './notice.js';
import { addRefresh } from './refresh.js';
import { server } from './server.js';
import { addStatus } from './status.js';

const PARTS = [addStatus, addRefresh, addNotice, addFiles];

/** Add the parts; one that fails does not take the others with it. */
export async function start(lab) {
  const whole = { ...lab, server: await server(lab) };
  const results = await Promise.allSettled(PARTS.map(async part => part(whole)));
  for (const { reason } of results.filter(({ status }) => status === 'rejected')) {
    console.error('A part of Quaderno is missing:', reason);
  }
}

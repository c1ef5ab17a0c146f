/** Questions to this server's own routes, with JupyterLab's cookies and protection. */

/** Asks `quaderno/<name>` and returns the JSON of the answer; throws when there is none. */
export async function server({ app, shared }) {
  const [{ URLExt }, { ServerConnection }] = await Promise.all([
    shared('@jupyterlab/coreutils'),
    shared('@jupyterlab/services')
  ]);
  const settings = app.serviceManager.serverSettings;
  return async (name, method = 'GET') => {
    const url = URLExt.join(settings.baseUrl, 'quaderno', name);
    const answer = await ServerConnection.makeRequest(url, { method }, settings);
    if (!answer.ok) {
      throw new ServerConnection.ResponseError(answer);
    }
    return answer.json();
  };
}

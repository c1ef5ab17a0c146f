/** Asks again and again: often while something goes on, seldom otherwise, never unseen. */

const OFTEN = 5_000; // milliseconds
const SELDOM = 30_000;
const SOON = 400; // what follows a save has begun by then

/**
 * Calls `look`, which returns whether to look again soon. The returned function asks for a look
 * right after something has happened.
 */
export function poll(look) {
  let timer = null;
  let looking = false;
  let again = false;

  const plan = delay => {
    clearTimeout(timer);
    timer = document.hidden ? null : setTimeout(turn, delay);
  };
  const turn = async () => {
    if (looking) {
      again = true;
      return;
    }
    looking = true;
    again = false;
    let soon = false;
    try {
      soon = await look();
    } finally {
      looking = false;
      plan(again ? 0 : soon ? OFTEN : SELDOM);
    }
  };
  document.addEventListener('visibilitychange', () => plan(0));
  plan(0);
  return () => plan(SOON);
}

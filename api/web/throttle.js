/** `action` now, and then at most once in `milliseconds`; the last wish is always granted. */
export function throttled(action, milliseconds) {
  let timer = null;
  let wanted = false;

  function run() {
    wanted = false;
    action();
    timer = setTimeout(() => {
      timer = null;
      if (wanted) run();
    }, milliseconds);
  }

  return () => {
    wanted = true;
    if (timer === null) run();
  };
}

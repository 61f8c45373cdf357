/** Calls `action` at most once in `milliseconds`; a call that comes too early is made at the end of that time. */
export function throttled(action, milliseconds) {
  let timer = null;
  let pending = false;

  function run() {
    pending = false;
    action();
    timer = setTimeout(() => {
      timer = null;
      if (pending) run();
    }, milliseconds);
  }

  return () => {
    pending = true;
    if (timer === null) run();
  };
}

/** Who is signed in. The key stays in this browser: in the tab's storage, or in the browser's when its user said so. */

export interface Session {
  key: string | null;
  /** The last key was refused by the server, so that the page for signing in can say why it is there. */
  refused: boolean;
}

const NAME = "batchrouter.key";
const listeners = new Set<() => void>();
let now: Session = { key: read(), refused: false };

function read(): string | null {
  return sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME);
}

function become(next: Session) {
  now = next;
  for (const listener of listeners) listener();
}

function forget() {
  sessionStorage.removeItem(NAME);
  localStorage.removeItem(NAME);
}

export const session = {
  get: () => now,

  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },

  signIn(key: string, stay: boolean) {
    forget();
    (stay ? localStorage : sessionStorage).setItem(NAME, key);
    become({ key, refused: false });
  },

  signOut() {
    forget();
    become({ key: null, refused: false });
  },

  /** `key` was refused; if another is used by now, that one stays. */
  refused(key: string | null) {
    if (key === null || key !== now.key) return;
    forget();
    become({ key: null, refused: true });
  },
};

window.addEventListener("storage", (event) => {
  if (event.key === NAME && event.newValue === null && sessionStorage.getItem(NAME) === null) session.signOut();
});

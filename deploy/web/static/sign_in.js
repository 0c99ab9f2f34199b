// Signing in with the token, by the form that the page has for it.

const part = (id) => document.getElementById(id);

/** Whether this visitor may see the rest; null where nobody answers. */
export async function signedIn() {
  const answer = await fetch("api/session").catch(() => null);
  return answer?.ok ? (await answer.json()).signed_in : null;
}

/** Have the form sign in, and then go on with `begin`. */
export function listen(begin) {
  part("sign-in").addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const body = JSON.stringify({ token: part("token").value });
    const answer = await fetch("api/login", { method: "POST", body }).catch(() => null);
    part("wrong").hidden = Boolean(answer?.ok);
    part("wrong").textContent = answer?.status === 401 ? "This is not the token."
      : answer ? (await answer.json().catch(() => ({}))).error ?? `The server answered ${answer.status}.` : "No connection.";
    part("token").value = "";
    if (answer?.ok) begin();
  });
}

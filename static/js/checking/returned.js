// Why a clip came back to its annotator, and what was said about it before.

/** The reviewer's reason, then earlier returns and the answers to them, newest first, a line each. */
export function returnedWords(claim, text) {
  const before = (claim.exchange || []).slice(0, -1).reverse();
  const lines = before.flatMap(({ reason, reply }) => [
    text.returnedBefore.replace("%s", reason),
    ...(reply ? [text.youAnswered.replace("%s", reply)] : []),
  ]);
  return [`${text.returned} ${claim.returned.reason}`, ...lines].join("\n");
}

/** `return` must not wait for what comes next, which may never come: it ends the subscription first. */
export function abortable<T>(
  inner: AsyncGenerator<T, void, undefined>,
  gone: AbortController,
): AsyncGenerator<T, void, undefined> {
  const leave = inner.return.bind(inner);
  inner.return = (value) => {
    gone.abort();
    return leave(value);
  };
  return inner;
}

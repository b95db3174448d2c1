/**
 * Raised whenever the printed contract (contract.lock.json) changes. The agent says it in its `hello`; a server calls
 * an older agent with what that one knows, and is refused with `capability.absent` beyond it.
 */
export const contractVersion = 11;

/** The version of the program, in `host.readFacts` and in the snapshot. A spec holds it to package.json. */
export const programVersion = '0.1.0';

/** The WebSocket subprotocol of the control channel. A change that old frames cannot be read under takes another name. */
export const linkProtocol = 'domus.link.v1';
/** The WebSocket subprotocol of a console's bytes. */
export const consoleProtocol = 'domus.console-bytes.v1';
export const linkPath = '/link';

/** The base64 text of `bytes` characters that the echo server sends and the load generator expects. */
export const blobText = (bytes) =>
  Buffer.alloc(bytes, 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ').toString('latin1');

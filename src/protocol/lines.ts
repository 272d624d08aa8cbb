const NEWLINE = 0x0a;

/** What is kept of a line that is too long: enough of both ends to find whose answer it was. */
const KEPT = 1024;

export interface LineReader {
  /** One line without its newline. */
  line(line: Buffer): void;
  /** A line of nothing, where that means something. */
  blank?(): void;
  /** A line longer than the limit was passed over; its first and last KiB and its whole length in bytes. */
  tooLong(head: Buffer, tail: Buffer, length: number): void;
}

/**
 * Cuts a byte stream into lines. Linear in the bytes fed: a line is joined once, when its newline is there. A line
 * beyond `limit` bytes costs at most `limit` and does not end the stream.
 */
export class LineSplitter {
  readonly #reader: LineReader;
  readonly #limit: number;
  #parts: Buffer[] = [];
  #length = 0;
  #head: Buffer | undefined;

  constructor(limit: number, reader: LineReader) {
    this.#limit = limit;
    this.#reader = reader;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      if (end < 0) break;
      this.#append(chunk.subarray(start, end));
      this.#finish();
      start = end + 1;
    }
    if (start < chunk.length) this.#append(chunk.subarray(start));
  }

  #append(part: Buffer): void {
    this.#length += part.length;
    this.#parts.push(part);
    if (this.#length <= this.#limit) return;
    const kept = Buffer.concat(this.#parts);
    this.#head ??= Buffer.from(kept.subarray(0, KEPT));
    this.#parts = [Buffer.from(kept.subarray(-KEPT))];
  }

  #finish(): void {
    const [parts, length, head] = [this.#parts, this.#length, this.#head];
    this.#parts = [];
    this.#length = 0;
    this.#head = undefined;
    const line = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
    if (head) this.#reader.tooLong(head, line, length);
    else if (line.length > 0) this.#reader.line(line);
    else this.#reader.blank?.();
  }
}

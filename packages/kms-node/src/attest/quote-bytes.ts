/** Quotes are about 5,000 bytes; what surrounds the certificates is fixed. */
export const MAX_QUOTE_BYTES: number = 16 * 1024

/** Where the HTTP API is, below the listener's root. */
export const API_PATH = '/api/v1';

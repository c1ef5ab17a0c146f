// What of hyparquet the preview of Parquet files uses; see README.md.
import { decompress } from 'fzstd';
import { gunzip } from 'hyparquet-compressors/src/gzip.js';
import { decompressLz4, decompressLz4Raw } from 'hyparquet-compressors/src/lz4.js';

export { parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';

// Snappy is hyparquet's own. Brotli, which is rare, has a large dictionary.
export const compressors = {
  GZIP: (input, length) => gunzip(input, new Uint8Array(length)),
  LZ4: decompressLz4,
  LZ4_RAW: decompressLz4Raw,
  ZSTD: input => decompress(input),
};

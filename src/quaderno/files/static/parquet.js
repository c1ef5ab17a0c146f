// The first rows of a Parquet file. Its bytes are read here, as ranges; what they say is text.

const ROWS = 50;
const COLUMNS = 50;
const LETTERS = 200;
const MOST = 48 * 2 ** 20; // bytes of the file that are read; a column comes in large pieces

class Told extends Error {} // a sentence for people

// Ranges of the file at `url`, of `size` bytes, as hyparquet asks for them.
function ranges({ url, xsrf, size }) {
  const byteLength = Number(size);
  let left = MOST;
  const slice = async (start, end = byteLength) => {
    left -= end - start;
    if (left < 0) {
      throw new Told("Its first rows are too large to be shown here: download the file.");
    }
    const answer = await fetch(url, { headers: { Range: `bytes=${start}-${end - 1}`, "X-XSRFToken": xsrf } });
    if (!answer.ok) {
      throw new Told("The file cannot be read now: look again in a moment.");
    }
    return answer.arrayBuffer();
  };
  return { byteLength, slice };
}

function say(value) {
  const told = typeof value === "object" && value !== null && !(value instanceof Date)
    ? JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner))
    : value instanceof Date ? value.toISOString() : String(value ?? "");
  return told.slice(0, LETTERS);
}

function row(cells, name) {
  const made = document.createElement("tr");
  for (const cell of cells) {
    const place = document.createElement(name);
    place.textContent = cell;
    made.append(place);
  }
  return made;
}

// Fills `place`, which says what file it is.
export async function showParquet(place) {
  const said = place.querySelector("p");
  said.textContent = "Reading the file …";
  try {
    const { parquetMetadataAsync, parquetReadObjects, parquetSchema, compressors } = await import(place.dataset.reader);
    const file = ranges(place.dataset);
    const metadata = await parquetMetadataAsync(file, { initialFetchSize: 2 ** 16 });
    const all = parquetSchema(metadata).children.map((column) => column.element.name);
    const columns = all.slice(0, COLUMNS);
    const rowEnd = Math.min(ROWS, Number(metadata.num_rows));
    const rows = await parquetReadObjects({ file, metadata, columns, rowEnd, compressors });
    const table = document.createElement("table");
    table.append(row(columns, "th"), ...rows.map((one) => row(columns.map((column) => say(one[column])), "td")));
    said.textContent = `${rows.length} of ${metadata.num_rows} rows, ${columns.length} of ${all.length} columns`;
    place.append(table);
  } catch (error) {
    said.textContent = error instanceof Told ? error.message : "This is not a Parquet file that can be shown here.";
  }
}

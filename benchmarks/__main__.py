"""`make bench`: run every benchmark and print one table."""

from benchmarks import server_start


def main() -> None:
    for line in server_start.run():
        print(line)


if __name__ == "__main__":
    main()

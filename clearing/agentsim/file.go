package agentsim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/tongma/tongma"
)

// maxLine bounds one change: a message of 10,000 legs fits.
const maxLine = 16 << 20

// file keeps the changes, one a line: eight hex digits of CRC-32 (IEEE) of what
// follows, a blank, JSON. A line that was cut off at the end was never answered and
// is dropped; anything else that does not fit stops the start.
type file struct {
	f    *os.File // nil: memory only
	size int64
	err  error // the first; nothing is taken after it
}

func openFile(path string, take func(*change) error) (*file, error) {
	if path == "" {
		return &file{}, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fileFault(path, err)
	}
	l := &file{f: f}
	if l.size, err = readLines(f, take); err == nil {
		err = f.Truncate(l.size)
	}
	if err == nil {
		_, err = f.Seek(l.size, io.SeekStart)
	}
	if err == nil {
		err = syncFolder(path)
	}
	if err != nil {
		return nil, errors.Join(fileFault(path, err), f.Close())
	}
	return l, nil
}

func fileFault(path string, err error) error {
	return &tongma.Error{Op: "agentsim", Reason: tongma.SetupInvalid, Field: filepath.Base(path), Err: err}
}

// syncFolder makes the file's name durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readLines applies every whole line, and returns where they end.
func readLines(f io.Reader, take func(*change) error) (size int64, err error) {
	r := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return size, nil // nothing, or a line that was cut off
		}
		if err != nil {
			return size, err
		}
		c, err := parseLine(line)
		if err == nil {
			err = take(c)
		}
		if err != nil {
			return size, fmt.Errorf("line %d at byte %d: %w", n, size, err)
		}
		size += int64(len(line))
	}
}

func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxLine {
			return nil, errors.New("line is longer than allowed")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func parseLine(line []byte) (*change, error) {
	sum, body, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) {
		return nil, errors.New("check sum is wrong")
	}
	c := &change{}
	return c, json.Unmarshal(body, c)
}

// append makes a change durable. After an error nobody knows what is on the disk,
// so that nothing more is taken: the next start tells.
func (l *file) append(c *change) error {
	if l.f == nil || l.err != nil {
		return l.err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	line := fmt.Appendf(make([]byte, 0, len(body)+10), "%08x %s\n", crc32.ChecksumIEEE(body), body)
	if len(line) > maxLine {
		return &tongma.Error{Op: "agentsim", Reason: tongma.MessageTooLong}
	}
	if info, err := l.f.Stat(); err != nil || info.Size() != l.size {
		l.err = &tongma.Error{Op: "agentsim", Reason: tongma.JournalStopped, Detail: "another process writes this file", Err: err}
		return l.err
	}
	if _, err = l.f.Write(line); err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		l.err = &tongma.Error{Op: "agentsim", Reason: tongma.JournalStopped, Err: err}
		return l.err
	}
	l.size += int64(len(line))
	return nil
}

func (l *file) close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}

package journal

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A checkpoint file is text, one fact a line, with the SHA-256 of the lines above
// in the last one. It is the high-water mark of what was acknowledged: a store
// that ends before it has lost something.
const checkpointFormat = "tongma journal checkpoint 1\nshard %d\nsequence %d\nepoch %d\nwriter %d\nnumber %d\nnext %d\nhash %x\n"

const maxCheckpoint = 1024

// AppendCheckpoint appends the text of a checkpoint file.
func AppendCheckpoint(dst []byte, p Position) []byte {
	start := len(dst)
	dst = fmt.Appendf(dst, checkpointFormat, p.Shard, p.Sequence, p.Epoch, p.Writer, p.Number, p.Next, p.Hash)
	return fmt.Appendf(dst, "sum %x\n", sha256.Sum256(dst[start:]))
}

// ParseCheckpoint reads the text of a checkpoint file, and nothing but it.
func ParseCheckpoint(data []byte) (Position, error) {
	var p Position
	body, sum, found := strings.Cut(string(data), "sum ")
	if !found {
		return p, errors.New("journal: checkpoint: no sum")
	}
	want := sha256.Sum256([]byte(body))
	if subtle.ConstantTimeCompare([]byte(sum), fmt.Appendf(nil, "%x\n", want)) != 1 {
		return p, errors.New("journal: checkpoint: sum does not match the lines above it")
	}
	var hash string
	format := strings.Replace(checkpointFormat, "%x", "%64s", 1)
	if _, err := fmt.Sscanf(body, format, &p.Shard, &p.Sequence, &p.Epoch, &p.Writer, &p.Number, &p.Next, &hash); err != nil {
		return p, fmt.Errorf("journal: checkpoint: %w", err)
	}
	if n, err := hex.Decode(p.Hash[:], []byte(hash)); err != nil || n != len(p.Hash) {
		return p, errors.New("journal: checkpoint: hash is not 64 hexadecimal digits")
	}
	if string(AppendCheckpoint(nil, p)) != string(data) {
		return p, errors.New("journal: checkpoint: not in canonical form")
	}
	return p, nil
}

// ReadCheckpoint reads the checkpoint file at path, if there is one.
func ReadCheckpoint(path string) (p Position, found bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCheckpoint+1))
	if err != nil {
		return p, false, err
	}
	if p, err = ParseCheckpoint(data); err != nil {
		return p, false, fmt.Errorf("%w (%s)", err, path)
	}
	return p, true, nil
}

// WriteCheckpoint replaces the checkpoint file at path, durably: whenever a
// crash comes, the file is the old one or the new one.
func WriteCheckpoint(path string, p Position) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, and should, once it is renamed
	_, err = f.Write(AppendCheckpoint(nil, p))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// marker keeps a checkpoint file up to date, off the path of a commit.
type marker struct {
	path     string
	position func() Position
	written  Position // by the goroutine, and by close when it has ended
	end      chan struct{}
	done     chan struct{}

	mu  sync.Mutex // guards err; nothing is called while it is held
	err error
}

func startMarker(path string, every time.Duration, position func() Position) *marker {
	m := &marker{path: path, position: position, end: make(chan struct{}), done: make(chan struct{})}
	go m.run(max(every, time.Millisecond))
	return m
}

func (m *marker) run(every time.Duration) {
	defer close(m.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		m.write()
		select {
		case <-tick.C:
		case <-m.end:
			m.write()
			return
		}
	}
}

func (m *marker) write() {
	p := m.position()
	if p == m.written || p.Number == 0 {
		return
	}
	err := WriteCheckpoint(m.path, p)
	if err == nil {
		m.written = p
	}
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
}

func (m *marker) lastError() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *marker) close() error {
	select {
	case <-m.end:
	default:
		close(m.end)
	}
	<-m.done
	return m.lastError()
}

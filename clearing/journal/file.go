package journal

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
)

// A frame of the file: length of the message, CRC-32C of these four bytes,
// CRC-32C of the message, the message. The length has a sum of its own, so that
// a damaged one in the middle is not taken for the torn end of the file.
const frameHeader = 12

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// File is a Store in one plain file, appended to and synced with each message.
// It is the floor that JetStream is measured against, and a store for tests.
type File struct {
	path string
	f    *os.File

	mu      sync.Mutex // guards all below; disk calls of Append are made while it is held
	offsets []int64    // where each message's frame begins
	size    int64
	frame   []byte
	broken  error // first failure of a write or sync; nothing is tried again behind it
	grown   chan struct{}
}

// OpenFile opens or creates the file at path, for this process alone. The torn
// end of an append that a crash cut short is removed; any other damage is refused
// with its offset.
func OpenFile(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &File{path: path, f: f, grown: make(chan struct{})}
	if err := errors.Join(lockFile(f), s.index()); err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %s: %w", path, err), f.Close())
	}
	return s, nil
}

// index finds the frames, and cuts off a torn one at the end.
func (s *File) index() error {
	end, err := s.f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(s.f, 1<<20)
	buf := make([]byte, frameHeader+MaxMessage)
	for s.size < end {
		n, torn, err := readFrame(r, buf, end-s.size)
		if err != nil {
			return fmt.Errorf("message %d at offset %d: %w", len(s.offsets)+1, s.size, err)
		}
		if torn {
			return errors.Join(s.f.Truncate(s.size), s.f.Sync())
		}
		s.offsets = append(s.offsets, s.size)
		s.size += n
	}
	return nil
}

// readFrame reads one frame with left bytes to go in the file, and returns how
// long it is. Only a frame that reaches the end of the file can be torn.
func readFrame(r io.Reader, buf []byte, left int64) (n int64, torn bool, err error) {
	if left < frameHeader {
		return 0, true, nil
	}
	if _, err := io.ReadFull(r, buf[:frameHeader]); err != nil {
		return 0, false, err
	}
	length := int64(binary.BigEndian.Uint32(buf))
	if crc32.Checksum(buf[:4], castagnoli) != binary.BigEndian.Uint32(buf[4:]) || length > MaxMessage {
		if left <= int64(len(buf)) && allZero(buf[:frameHeader]) {
			// Some file systems grow the file before they write to it.
			rest := buf[frameHeader:left]
			if _, err := io.ReadFull(r, rest); err == nil && allZero(rest) {
				return 0, true, nil
			}
		}
		return 0, false, errors.New("damaged length")
	}
	if frameHeader+length > left {
		return 0, true, nil
	}
	body := buf[frameHeader : frameHeader+length]
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, false, err
	}
	if crc32.Checksum(body, castagnoli) == binary.BigEndian.Uint32(buf[8:]) {
		return frameHeader + length, false, nil
	}
	if frameHeader+length == left {
		return 0, true, nil
	}
	return 0, false, errors.New("damaged message")
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Append implements Store. After an error of the disk it stores nothing more: the
// kernel may have dropped what it could not write, and a second fsync would not
// say so.
func (s *File) Append(ctx context.Context, expectLast uint64, message []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch last := uint64(len(s.offsets)); {
	case s.broken != nil:
		return 0, s.broken
	case last != expectLast:
		return 0, fmt.Errorf("%w: %s: last is %d, want %d", ErrMoved, s.path, last, expectLast)
	case len(message) > MaxMessage:
		return 0, fmt.Errorf("%w: %s: message of %d bytes", ErrStopped, s.path, len(message))
	case ctx.Err() != nil:
		return 0, fmt.Errorf("%w: %w", ErrInDoubt, ctx.Err())
	}
	s.frame = binary.BigEndian.AppendUint32(s.frame[:0], uint32(len(message)))
	s.frame = binary.BigEndian.AppendUint32(s.frame, crc32.Checksum(s.frame[:4], castagnoli))
	s.frame = binary.BigEndian.AppendUint32(s.frame, crc32.Checksum(message, castagnoli))
	s.frame = append(s.frame, message...)
	_, err := s.f.WriteAt(s.frame, s.size)
	if err == nil {
		err = datasync(s.f)
	}
	if err != nil {
		s.broken = fmt.Errorf("%w: %s: %w", ErrStopped, s.path, err)
		return 0, s.broken
	}
	s.offsets = append(s.offsets, s.size)
	s.size += int64(len(s.frame))
	close(s.grown)
	s.grown = make(chan struct{})
	return expectLast + 1, nil
}

// span returns where the messages from a sequence on lie in the file, how many
// they are, and what closes when there are more.
func (s *File) span(from uint64) (start, end int64, count uint64, grown <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from = max(from, 1)
	if last := uint64(len(s.offsets)); from <= last {
		return s.offsets[from-1], s.size, last - from + 1, s.grown
	}
	return 0, 0, 0, s.grown
}

// Read implements Store.
func (s *File) Read(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	_, _, err := s.read(ctx, from, fn)
	return err
}

func (s *File) read(ctx context.Context, from uint64, fn func(uint64, []byte) error) (next uint64, grown <-chan struct{}, err error) {
	start, end, count, grown := s.span(from)
	if count == 0 {
		return from, grown, ctx.Err()
	}
	r := bufio.NewReaderSize(io.NewSectionReader(s.f, start, end-start), 1<<20)
	buf := make([]byte, frameHeader+MaxMessage)
	for ; count > 0; count-- {
		if err := ctx.Err(); err != nil {
			return from, grown, err
		}
		n, torn, err := readFrame(r, buf, end-start)
		if torn {
			err = errors.New("damaged message")
		}
		if err != nil {
			return from, grown, fmt.Errorf("journal: %s: message %d at offset %d: %w", s.path, from, start, err)
		}
		if err := fn(from, buf[frameHeader:n]); err != nil {
			return from, grown, err
		}
		start, from = start+n, from+1
	}
	return from, grown, nil
}

// Last implements Store.
func (s *File) Last(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.offsets)), nil
}

// Tail implements Store. It sees what this process appends.
func (s *File) Tail(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	for {
		next, grown, err := s.read(ctx, max(from, 1), fn)
		if err != nil {
			return err
		}
		from = next
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close closes the file and lets others open it.
func (s *File) Close() error { return s.f.Close() }

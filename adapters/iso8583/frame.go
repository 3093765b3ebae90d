package iso8583

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tongma/tongma"
)

const headerSize = 2 // big endian length of the message behind it

// frame is a buffer that goes from hand to hand; whoever has it last puts it
// back.
type frame struct{ b []byte }

var frames = sync.Pool{New: func() any { return &frame{b: make([]byte, 0, 512)} }}

func newFrame() *frame { return frames.Get().(*frame) }

func (f *frame) free() {
	f.b = f.b[:0]
	frames.Put(f)
}

// pack fills the frame with a message and its length.
func (f *frame) pack(m *Message, key *MAC) error {
	out, err := m.AppendSealed(append(f.b[:0], 0, 0), key)
	if err != nil {
		return err
	}
	size := len(out) - headerSize
	out[0], out[1] = byte(size>>8), byte(size)
	f.b = out
	return nil
}

// errStopped is what reading ends with after stop.
var errStopped = errors.New("iso8583: link is being closed")

// frameReader cuts a connection into messages. One goroutine reads; stop may be
// called by any.
type frameReader struct {
	conn    net.Conn
	in      *bufio.Reader
	max     int           // largest message
	idle    time.Duration // how long to wait for a frame to begin
	whole   time.Duration // how long a frame may take from its first byte to its last
	stopped atomic.Bool
}

func newFrameReader(conn net.Conn, maxMessage int, idle, whole time.Duration) *frameReader {
	return &frameReader{conn: conn, in: bufio.NewReaderSize(conn, 16<<10), max: maxMessage, idle: idle, whole: whole}
}

// stop makes next return errStopped, now if it is waiting.
func (r *frameReader) stop() {
	r.stopped.Store(true)
	_ = r.conn.SetReadDeadline(time.Unix(1, 0)) // a closed connection ends next as well
}

// within sets the time that reading may take from here. It looks at stopped after
// setting it, and stop sets the deadline after stopped, so that one sees the
// other.
func (r *frameReader) within(d time.Duration) error {
	if err := r.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	if r.stopped.Load() {
		return errStopped
	}
	return nil
}

// next returns the next message, in a frame that the caller frees. It returns
// io.EOF if the peer closed the link between two frames, errStopped after stop,
// and else an error with the reason: FrameLength for a length out of bounds,
// FrameIncomplete for a frame that did not come whole and in time.
func (r *frameReader) next() (*frame, error) {
	if r.in.Buffered() == 0 {
		if err := r.within(r.idle); err != nil {
			return nil, err
		}
		if _, err := r.in.Peek(1); err != nil {
			return nil, r.cause(err)
		}
	}
	if r.stopped.Load() {
		return nil, errStopped
	}
	timed := false
	if size, ok := r.announced(); !ok || r.in.Buffered() < headerSize+size {
		timed = true
		if err := r.within(r.whole); err != nil {
			return nil, err
		}
	}
	if _, err := r.in.Peek(headerSize); err != nil {
		return nil, r.broken(err)
	}
	size, _ := r.announced()
	if size < MinMessage || size > r.max {
		return nil, &tongma.Error{Op: "iso8583: frame", Reason: tongma.FrameLength}
	}
	f := newFrame()
	if cap(f.b) < size {
		f.b = make([]byte, 0, size)
	}
	f.b = f.b[:size]
	_, _ = r.in.Discard(headerSize) // they are buffered
	if _, err := io.ReadFull(r.in, f.b); err != nil {
		f.free()
		return nil, r.broken(err)
	}
	if timed && r.stopped.Load() {
		f.free()
		return nil, errStopped
	}
	return f, nil
}

// announced returns the length of the next message, if both bytes are here.
func (r *frameReader) announced() (int, bool) {
	if r.in.Buffered() < headerSize {
		return 0, false
	}
	p, _ := r.in.Peek(headerSize)
	return int(p[0])<<8 | int(p[1]), true
}

// cause tells a stop from a fault.
func (r *frameReader) cause(err error) error {
	if r.stopped.Load() {
		return errStopped
	}
	return err
}

// broken is the error of a frame that did not come whole.
func (r *frameReader) broken(err error) error {
	if r.stopped.Load() {
		return errStopped
	}
	return &tongma.Error{Op: "iso8583: frame", Reason: tongma.FrameIncomplete, Err: err}
}

// frameWriter is the one writer of a connection. Frames are written in the order
// in which they were sent; those that wait together go out together. A write that
// takes longer than timeout breaks the link.
type frameWriter struct {
	conn    net.Conn
	out     chan *frame
	timeout time.Duration
	quit    chan struct{} // closed by abort
	gone    chan struct{} // closed when nothing more will be written
}

func newFrameWriter(conn net.Conn, queue int, timeout time.Duration) *frameWriter {
	return &frameWriter{conn: conn, out: make(chan *frame, queue), timeout: timeout, quit: make(chan struct{}), gone: make(chan struct{})}
}

// send queues a frame, waiting for room. It returns false if the link is gone.
func (w *frameWriter) send(f *frame) bool {
	select {
	case w.out <- f:
		return true
	case <-w.gone:
		f.free()
		return false
	}
}

// finish says that nobody will call send again. run ends when all is written.
func (w *frameWriter) finish() { close(w.out) }

// abort ends run without writing more. It is called once at most.
func (w *frameWriter) abort() { close(w.quit) }

const maxBatch = 32 << 10 // bytes written at once

// run writes until finish or abort, or until the link breaks, and returns why it
// broke. It closes the connection when it breaks, so that the reader ends too.
func (w *frameWriter) run() error {
	defer close(w.gone)
	batch := make([]byte, 0, maxBatch)
	for {
		select {
		case f, ok := <-w.out:
			if !ok {
				return nil
			}
			batch = append(batch[:0], f.b...)
			f.free()
		case <-w.quit:
			return nil
		}
		batch = w.waiting(batch)
		if err := w.write(batch); err != nil {
			_ = w.conn.Close() // the cause is already known
			return err
		}
	}
}

// waiting appends the frames that wait by now, as far as a batch goes.
func (w *frameWriter) waiting(batch []byte) []byte {
	for len(batch) < maxBatch {
		select {
		case f, ok := <-w.out:
			if !ok {
				return batch
			}
			batch = append(batch, f.b...)
			f.free()
		default:
			return batch
		}
	}
	return batch
}

func (w *frameWriter) write(p []byte) error {
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return err
	}
	_, err := w.conn.Write(p)
	return err
}

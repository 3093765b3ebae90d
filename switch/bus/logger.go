package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// logger passes what the server has to say to slog, and keeps the first fatal
// error: an embedded server must not end the process.
type logger struct {
	log *slog.Logger

	mu    sync.Mutex // guards fatal; nothing is called while it is held
	fatal error
}

// Noticef logs at level debug: the server notices a good deal.
func (l *logger) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

// Warnf logs a warning.
func (l *logger) Warnf(format string, v ...any) { l.log.Warn(fmt.Sprintf(format, v...)) }

// Errorf logs an error.
func (l *logger) Errorf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }

// Debugf does nothing.
func (l *logger) Debugf(string, ...any) {}

// Tracef does nothing: a trace would hold codes.
func (l *logger) Tracef(string, ...any) {}

// Fatalf logs an error, and keeps the first one for Start.
func (l *logger) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = errors.New(text)
	}
}

func (l *logger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

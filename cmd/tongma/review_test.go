package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// TestOutOfOfficeSaysNothingOfTheMoney: a till whose payment the lost writer has taken
// repeats it here, before this switch is in office. It must not hear that nothing was
// executed: that is not known here.
func TestOutOfOfficeSaysNothingOfTheMoney(t *testing.T) {
	w := httptest.NewRecorder()
	(&node{}).waiting().ServeHTTP(w, httptest.NewRequest("POST", "/v1/payments", nil))
	if body := w.Body.String(); w.Code != 503 || !strings.Contains(body, `"outcome":"unknown"`) || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, body)
	}
}

// TestWhatWasClosedBeforeAStopIsSettled: a switch that stops between the close of a
// window and its settlement settles it at its next start; a window that was closed by
// hand is left to people.
func TestWhatWasClosedBeforeAStopIsSettled(t *testing.T) {
	n, err := newNode(t.Context(), nodeConfig{data: t.TempDir(), natsListen: "127.0.0.1:0", directory: schemes.Sandbox(), sandbox: true, logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var windows []tongma.WindowID
	for _, cutoff := range []int64{1, 0} {
		res, err := n.engine.Ledger().Submit(t.Context(), clearing.Entry{Kind: clearing.KindClose, Cutoff: cutoff})
		if err != nil {
			t.Fatal(err)
		}
		windows = append(windows, res.Entry.Window)
	}
	ctx, cancel := context.WithCancel(t.Context())
	kept := make(chan error, 1)
	go func() { kept <- n.keepTime(ctx, 0, true) }()
	state := func(id tongma.WindowID) clearing.WindowState {
		s, err := n.engine.Sheet(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return s.State
	}
	for range 100 {
		if state(windows[0]) == clearing.WindowSettled {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	if err := <-kept; err != nil || state(windows[0]) != clearing.WindowSettled || state(windows[1]) != clearing.WindowClosed {
		t.Errorf("%v; %s, %s", err, state(windows[0]), state(windows[1]))
	}
}

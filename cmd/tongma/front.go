package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/api"
)

// front is the address of the HTTP door, which is there before the switch is in
// office and after: what answers is the API, or a few words on why there is none.
type front struct{ now atomic.Pointer[http.Handler] }

func (f *front) show(h http.Handler) { f.now.Store(&h) }

// ServeHTTP hands a request to whoever answers now.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*f.now.Load()).ServeHTTP(w, r) }

// startFront listens, and says that the switch is on its way.
func (n *node) startFront(context.Context) error {
	n.front.show(n.waiting())
	if n.cfg.httpListen == "" {
		return nil
	}
	l, err := n.listen(n.cfg.httpListen, "the HTTP door", "--http-listen")
	if err != nil {
		return err
	}
	n.httpAddr = l.Addr().String()
	srv := api.Server(n.httpAddr, &n.front)
	go func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			n.cfg.logger.Error("the HTTP door has stopped", "err", err)
		}
	}()
	n.onClose(func(ctx context.Context) { _ = srv.Shutdown(ctx) })
	return nil
}

// standing is how a switch out of office is, in words of /readyz.
type standing struct {
	Status     string `json:"status"` // "standby", "unfit" or "starting"
	Epoch      uint64 `json:"epoch"`  // of the writer that is followed
	LagBatches uint64 `json:"lag_batches"`
	LagEntries uint64 `json:"lag_entries"`
	LastTime   int64  `json:"last_batch_ms,omitempty"` // by the writer's clock
	Detail     string `json:"detail,omitempty"`
}

// waiting answers while the switch is not in office: /livez that it lives, /readyz
// how far behind it is, everything else that another switch is to be asked. Anybody
// may ask, so the journal is asked twice a second at most.
func (n *node) waiting() http.Handler {
	var mu sync.Mutex // guards last and at; held while the journal is asked
	var last standing
	var at time.Time
	look := func() standing {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(at) > time.Second/2 {
			last, at = n.howItStands(), time.Now()
		}
		return last
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { writeStanding(w, r, look()) })
	mux.HandleFunc("GET /{$}", api.WaitingPage)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		// The outcome is unknown: what is asked may be the repeat of a payment that the other one has taken.
		problem := tongma.ProblemOf(&tongma.Error{Op: "http", Reason: tongma.SteppedDown, Detail: "this switch stands by: ask the other one"})
		writeJSON(w, "application/problem+json", problem)
	})
	return mux
}

func (n *node) howItStands() standing {
	s := n.office.standby.Load()
	if s == nil {
		return standing{Status: "starting"}
	}
	out := standing{Status: "standby", Epoch: s.Epoch()}
	if unfit := n.office.unfit.Load(); unfit != nil {
		out.Status, out.Detail = "unfit", (*unfit).Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	lag, err := s.Lag(ctx)
	if err != nil {
		out.Detail = strings.TrimPrefix(out.Detail+"; the journal does not answer", "; ")
	}
	out.LagBatches, out.LagEntries, out.LastTime = lag.Batches, lag.Entries, lag.LastTime
	return out
}

func writeStanding(w http.ResponseWriter, r *http.Request, s standing) {
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, "application/json", s)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	if r.URL.Query().Has("verbose") {
		fmt.Fprintf(w, "epoch %d, behind by %d batches, %d entries\n", s.Epoch, s.LagBatches, s.LagEntries)
		if s.Detail != "" {
			fmt.Fprintln(w, s.Detail)
		}
	}
	fmt.Fprintln(w, s.Status)
}

// writeJSON answers that this switch is not available.
func writeJSON(w http.ResponseWriter, kind string, v any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(v) // the asker may have gone
}

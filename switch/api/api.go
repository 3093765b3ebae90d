package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/propagation"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	switching "github.com/tongma/tongma/switch"
)

// Bounds of the door.
const (
	maxBody      = tongma.MaxMessage  // of a request, in bytes
	maxBudget    = 10 * time.Minute   // an asker's patience, as tongma.Request.Check has it
	writeGrace   = 10 * time.Second   // for sending an answer when the asker's time is over
	readWithin   = 5 * time.Second    // for looking something up in the books
	changeWithin = 30 * time.Second   // for closing a window
	settleWithin = 5 * time.Minute    // for settling one, the agent's time included
	inFlight     = 4096               // questions about money at once
	retrySoon    = "1"                // Retry-After, in seconds, of a 503
	jsonType     = "application/json" // of answers
	problemType  = "application/problem+json"
)

// Config is what an API stands on. Engine and Auth are required.
type Config struct {
	Engine      *switching.Engine
	Auth        Authenticator
	Settler     Settler             // has windows settled; nil: windows cannot be settled here
	Store       journal.Store       // nil: the journal cannot be read here
	Office      Office              // caps, participants, prefunding, reconciliation; nil: not offered here
	Feed        *Feed               // nil: the API makes its own, fed by Committed
	Gatherer    prometheus.Gatherer // further figures for /metrics; nil: none
	Logger      *slog.Logger        // nil: discard
	Version     string
	Sandbox     bool           // play money: a browser on this machine needs no token, and /metrics is open
	Shards      Shards         // the others of a switch of several shards; nil: there are none
	Ready       func() []Check // further checks for /readyz, cheap, since anybody may ask; nil: none
	MaxInFlight int            // questions about money at once; default 4,096
}

// API is the front door, an http.Handler. Its methods may be called at once from
// many goroutines.
type API struct {
	cfg     Config
	mux     *http.ServeMux
	handler http.Handler
	feed    *Feed
	session *session // nil outside of a sandbox
	metrics http.Handler
	openapi []byte
	counts  *prometheus.CounterVec
	flying  atomic.Int64 // questions about money that are being answered
	uploads atomic.Int64 // files that are being compared
	marks   marks
}

// New returns the door. It fails if the Config lacks something.
func New(cfg Config) (*API, error) {
	if cfg.Engine == nil || cfg.Auth == nil {
		return nil, errors.New("api: Config needs Engine and Auth")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Feed == nil {
		cfg.Feed = NewFeed()
	}
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = inFlight
	}
	a := &API{cfg: cfg, mux: http.NewServeMux(), feed: cfg.Feed}
	if cfg.Sandbox {
		a.session = newSession()
	}
	if err := a.gather(); err != nil {
		return nil, err
	}
	if err := a.routes(); err != nil {
		return nil, err
	}
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, &tongma.Error{Op: "http", Reason: tongma.NotPermittedHere, Detail: "asked by a page of another origin"})
	}))
	a.handler = guard.Handler(http.HandlerFunc(a.serve))
	return a, nil
}

// gather puts the API's own figures beside those it was given.
func (a *API) gather() error {
	own := prometheus.NewRegistry()
	a.counts = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tongma_http_requests_total", Help: "Requests over HTTP, by operation of the API and status."}, []string{"operation", "status"})
	if err := errors.Join(own.Register(a.counts), own.Register(newCollector(a.cfg.Engine, a.cfg.Version))); err != nil {
		return fmt.Errorf("api: %w", err)
	}
	all := prometheus.Gatherers{own}
	if a.cfg.Gatherer != nil {
		all = append(all, a.cfg.Gatherer)
	}
	a.metrics = promhttp.HandlerFor(all, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: readWithin})
	return nil
}

// routes registers every operation of the document, and the pages beside it.
func (a *API) routes() error {
	adapter := humago.NewAdapter(a.mux, "")
	doc := newDocument()
	for _, op := range a.operations(doc.Components.Schemas) {
		adapter.Handle(&op.Operation, func(ctx huma.Context) {
			r, w := humago.Unwrap(ctx)
			a.run(w, r, op)
		})
		doc.AddOperation(&op.Operation)
	}
	var err error
	if a.openapi, err = renderDocument(doc); err != nil {
		return fmt.Errorf("api: openapi: %w", err)
	}
	a.mux.HandleFunc("GET /v1/openapi.json", a.document)
	a.mux.HandleFunc("GET /{$}", a.page)
	return nil
}

// Committed hands over the entries of a durable batch, for GET /v1/events. It is
// meant for switching.Options.OnCommit: it takes the entries and returns.
func (a *API) Committed(batch uint64, entries []clearing.Entry) { a.feed.Committed(batch, entries) }

// Close ends the event streams, so that a server can shut down.
func (a *API) Close() { a.feed.Close() }

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Server returns a server for the door, with a bound on everything a client can
// hold on to: 5 s for the headers, which have at most 16 KiB, 15 s for the whole
// request, 30 s for the answer, 2 min of idling. An operation that takes longer by
// its nature, such as a payment whose payer must confirm, extends the last one for
// itself. Shutting down ends the event streams.
func Server(addr string, h http.Handler) *http.Server {
	s := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	if c, ok := h.(interface{ Close() }); ok {
		s.RegisterOnShutdown(c.Close)
	}
	return s
}

// serve answers what no route takes, and whatever a route breaks on, with a
// problem document as well.
func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if fault := recover(); fault != nil {
			if fault == http.ErrAbortHandler {
				panic(fault)
			}
			a.cfg.Logger.Error("http: panic", "path", r.URL.Path, "fault", fmt.Sprint(fault))
			a.fail(w, r, &tongma.Error{Op: "http", Reason: tongma.Internal})
		}
	}()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	h, pattern := a.mux.Handler(r)
	if pattern != "" {
		a.mux.ServeHTTP(w, r) // sets the path's values, which h alone does not
		return
	}
	verdict := &statusOnly{header: w.Header()}
	h.ServeHTTP(verdict, r)
	e := &tongma.Error{Op: "http", Reason: tongma.OperationUnknown}
	if verdict.status == http.StatusMethodNotAllowed {
		a.failAs(w, r, http.StatusMethodNotAllowed, e)
		return
	}
	a.fail(w, r, e)
}

// statusOnly keeps the status and headers of an answer, and drops its text.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }

// access is who may call an operation. The zero value is the operator alone.
type access uint8

const (
	operatorOnly    access = iota
	participantOnly        // the operator has no account and cannot pay
	anyone                 // a participant sees its own, the operator all
	public                 // no token needed
)

// operation is one line of the door: what the document says, who may call it, and
// what it does.
type operation struct {
	huma.Operation
	access access
	handle func(c *call) error
}

// call is one request on its way.
type call struct {
	*API
	w        http.ResponseWriter
	r        *http.Request
	who      tongma.ParticipantID
	operator bool
	person   string // name of the operator's
}

// counted remembers the status of an answer.
type counted struct {
	http.ResponseWriter
	status int
}

// Unwrap lets http.ResponseController through to the connection.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (c *counted) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (a *API) run(plain http.ResponseWriter, r *http.Request, op operation) {
	w := &counted{plain, http.StatusOK}
	defer func() { a.counts.WithLabelValues(op.OperationID, strconv.Itoa(w.status)).Inc() }()
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	c := &call{API: a, w: w, r: r.WithContext(ctx)}
	err := c.identify(op.access)
	if err == nil {
		err = op.handle(c)
	}
	if err != nil {
		a.fail(w, r, err)
	}
}

// identify finds out who asks, and whether they may.
func (c *call) identify(need access) error {
	if need == public {
		return nil
	}
	var caller Caller
	var ok bool
	if token := bearer(c.r); token != "" {
		caller, ok = c.cfg.Auth.Identify(token)
	} else if c.session.holds(c.r) {
		caller, ok = Caller{Operator: operatorToken}, true
	}
	c.who, c.person, c.operator = caller.Participant, caller.Operator, caller.Operator != ""
	ok = ok && caller != (Caller{})
	switch {
	case !ok:
		return &tongma.Error{Op: "http", Reason: tongma.NotAuthenticated}
	case need == operatorOnly && !c.operator:
		return &tongma.Error{Op: "http", Reason: tongma.NotPermittedHere, Detail: "for the operator"}
	case need == participantOnly && c.operator:
		return &tongma.Error{Op: "http", Reason: tongma.NotPermittedHere, Detail: "for participants: the operator has no account"}
	}
	return nil
}

// body reads what was sent, which must be JSON and no longer than a message. An
// empty one is nil if that is allowed.
func (c *call) body(emptyAllowed bool) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, &tongma.Error{Op: "http", Reason: tongma.MessageTooLong, Detail: fmt.Sprintf("at most %d bytes", maxBody)}
	case err != nil:
		return nil, &tongma.Error{Op: "http", Reason: tongma.MessageMalformed, Detail: "the body ended early"}
	}
	// From here on the time for reading is over; without this, its end would be
	// taken for the client hanging up while its payment is being decided.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
	if len(data) == 0 && emptyAllowed {
		return nil, nil
	}
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != jsonType || (charset != "" && charset != "utf-8" && charset != "UTF-8") {
		return nil, &statusError{http.StatusUnsupportedMediaType, &tongma.Error{Op: "http", Reason: tongma.MessageMalformed, Detail: "the content type must be application/json"}}
	}
	return data, nil
}

// patience lets the answer take d.
func (c *call) patience(d time.Duration) {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(d + writeGrace))
}

// limit reads a count from the query: standard if it is not given, at most most.
func (c *call) limit(standard, most int) (int, error) {
	n, err := c.number("limit", uint64(standard))
	if err != nil || n == 0 || n > uint64(most) {
		err = &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?limit", Detail: fmt.Sprintf("1 to %d", most)}
	}
	return int(n), err
}

func (c *call) number(name string, standard uint64) (uint64, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return standard, nil
	}
	n, err := strconv.ParseUint(text, 10, 62)
	if err != nil {
		return 0, &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?" + name, Detail: "want a whole number"}
	}
	return n, nil
}

// read looks into the books. That it could not be done says nothing about money.
func (c *call) read(see func(*clearing.Book)) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), readWithin)
	defer cancel()
	return unread(c.cfg.Engine.Ledger().Read(ctx, see))
}

// unread takes the doubt out of the error of a reading, which moves nothing.
func unread(err error) error {
	if tongma.ReasonOf(err) == tongma.JournalInDoubt {
		return &tongma.Error{Op: "http", Reason: tongma.Overloaded, Err: err}
	}
	return err
}

// send answers 200 with v as JSON.
func (c *call) send(v any) error { return c.sendAs(http.StatusOK, v) }

func (c *call) sendAs(status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return c.raw(status, jsonType, b.Bytes())
}

func (c *call) raw(status int, kind string, body []byte) error {
	c.w.Header().Set("Content-Type", kind)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the client has gone; there is nobody to tell
	return nil
}

// statusError is an error whose HTTP status is not its reason's own.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// fail answers with the problem document of err.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := tongma.ReasonOf(err).Info().HTTP
	var as *statusError
	switch {
	case errors.As(err, &as):
		status = as.status
	case status < 400: // the catalogue's status for when it is an answer; here nothing was answered
		status = http.StatusServiceUnavailable
	}
	a.failAs(w, r, status, err)
}

func (a *API) failAs(w http.ResponseWriter, r *http.Request, status int, err error) {
	p := tongma.ProblemOf(err)
	p.Status = status
	if status == http.StatusInternalServerError { // the others are many when they come, and are counted
		a.cfg.Logger.Error("http", "method", r.Method, "path", r.URL.Path, "reason", p.Reason, "err", err)
	}
	h := w.Header()
	h.Set("Content-Type", problemType)
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="tongma"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", retrySoon)
	}
	w.WriteHeader(status)
	_, _ = w.Write(p.AppendJSON(nil))
}

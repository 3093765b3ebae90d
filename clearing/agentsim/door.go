package agentsim

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/iso20022"
)

// NextHeader says in a camt.054's answer which number to ask behind next.
const NextHeader = "Agent-Next"

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", s.message)
	mux.HandleFunc("GET /v1/status/{id}", s.status)
	mux.HandleFunc("GET /v1/notifications", s.notifications)
	mux.HandleFunc("GET /v1/statements/{account}/{day}", s.statement)
	mux.HandleFunc("GET /admin/accounts", s.getAccounts)
	mux.HandleFunc("PUT /admin/accounts", s.putAccount)
	mux.HandleFunc("POST /admin/fund", s.postFund)
	mux.HandleFunc("GET /admin/faults", s.getFaults)
	mux.HandleFunc("POST /admin/faults", s.postFault)
	mux.HandleFunc("DELETE /admin/faults", s.deleteFaults)
	mux.HandleFunc("GET /admin/movements", s.getMovements)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		default:
			refuse(w, http.StatusServiceUnavailable, &tongma.Error{Op: "agentsim", Reason: tongma.Overloaded})
			return
		}
		if !s.entitled(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, &tongma.Error{Op: "agentsim", Reason: tongma.NotAuthenticated})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// entitled compares digests of the tokens, so that no length or prefix shows.
func (s *Server) entitled(r *http.Request) bool {
	want := s.opts.Token
	if strings.HasPrefix(r.URL.Path, "/admin/") {
		want = s.opts.Admin
	} else if want == "" {
		return r.TLS != nil && len(r.TLS.VerifiedChains) > 0
	}
	got, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	x, y := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return bearer && want != "" && subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// problem is what a refusal says.
type problem struct {
	Title  string `json:"title"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

func refuse(w http.ResponseWriter, code int, err error) {
	reason := tongma.ReasonOf(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(problem{reason.Info().Title, reason.String(), err.Error()})
}

// statusOf says in HTTP what a reason means here.
func statusOf(err error) int {
	switch tongma.ReasonOf(err) {
	case tongma.JournalStopped, tongma.ShuttingDown, tongma.Overloaded:
		return http.StatusServiceUnavailable
	case tongma.Internal:
		return http.StatusInternalServerError
	case tongma.MessageTooLong:
		return http.StatusRequestEntityTooLarge
	case tongma.ExistsOtherContent, tongma.FundsMissing:
		return http.StatusConflict
	}
	return http.StatusBadRequest
}

func (s *Server) message(w http.ResponseWriter, r *http.Request) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || (kind != "application/xml" && kind != "text/xml") {
		refuse(w, http.StatusUnsupportedMediaType, &tongma.Error{Op: "agentsim.message", Reason: tongma.MessageMalformed, Detail: "application/xml"})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, iso20022.MaxBytes))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, &tongma.Error{Op: "agentsim.message", Reason: tongma.MessageTooLong})
		return
	}
	o, err := iso20022.ReadOrder(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if o.Header == nil {
		refuse(w, http.StatusBadRequest, &tongma.Error{Op: "agentsim.message", Reason: tongma.FieldMissing, Field: "/AppHdr"})
		return
	}
	doc, silent, waiting, err := s.take(o, body)
	switch {
	case errors.Is(err, errDeaf):
		hangUp(w)
	case errors.Is(err, errTaken):
		refuse(w, http.StatusConflict, &tongma.Error{Op: "agentsim.message", Reason: tongma.ExistsOtherContent, Detail: err.Error()})
	case err != nil:
		refuse(w, statusOf(err), err)
	case silent != nil:
		select {
		case <-time.After(silent.after):
		case <-r.Context().Done():
		}
		hangUp(w)
	default:
		code := http.StatusOK
		if waiting {
			code = http.StatusAccepted
		}
		s.send(w, code, doc, o.Header.From)
	}
}

// take books an order and reports on it.
func (s *Server) take(o *iso20022.Order, body []byte) (doc iso20022.Document, silent *silence, waiting bool, err error) {
	w, err := s.lock()
	if err != nil {
		return doc, nil, false, err
	}
	defer s.mu.Unlock()
	refused := w.order(o, body)
	if errors.Is(refused, errDeaf) {
		return doc, nil, false, errors.Join(refused, s.write(&change{At: w.out.At, Faults: w.strikes.spent()}))
	}
	if refused != nil {
		return doc, nil, false, refused
	}
	// Durable from here. If we stop now, the same message is answered from the books.
	if err := s.write(w.done()); err != nil {
		return doc, nil, false, err
	}
	if len(w.twice) > 0 {
		doc, err = s.bank.answerTwice(o, w)
		return doc, w.silent, false, err
	}
	m := s.bank.messages[o.ID]
	doc, err = s.bank.answer(m, w.now)
	return doc, w.silent, s.bank.waiting(m), err
}

// hangUp ends the connection without an answer.
func hangUp(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, http.StatusGatewayTimeout, &tongma.Error{Op: "agentsim", Reason: tongma.AgentSilent})
		return
	}
	_ = c.Close()
}

// send wraps a report in its header.
func (s *Server) send(w http.ResponseWriter, code int, d iso20022.Document, to iso20022.Party) {
	to.Account, to.Mandate = iso20022.Account{}, ""
	if to.IsZero() {
		to = iso20022.Party{Other: "SWITCH"}
	}
	body, err := d.Envelope(d.Header(s.opts.Party, to))
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.Copy(w, bytes.NewReader(body))
}

// report answers a question with a document, or says that there is nothing.
func (s *Server) report(w http.ResponseWriter, make func(b *worker) (iso20022.Document, int, error)) {
	work, err := s.lock()
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	doc, code, err := make(work)
	s.mu.Unlock()
	switch {
	case err != nil && code != 0:
		refuse(w, code, err)
	case err != nil:
		refuse(w, statusOf(err), err)
	case code == http.StatusNoContent:
		w.WriteHeader(code)
	default:
		s.send(w, http.StatusOK, doc, iso20022.Party{})
	}
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	s.report(w, func(work *worker) (iso20022.Document, int, error) {
		t := s.bank.transactions[r.PathValue("id")]
		if t == nil {
			return iso20022.Document{}, http.StatusNotFound, &tongma.Error{Op: "agentsim.status", Reason: tongma.PaymentUnknown}
		}
		d, err := s.bank.statusOf(t, work.now)
		return d, 0, err
	})
}

func (s *Server) notifications(w http.ResponseWriter, r *http.Request) {
	after, err := number(r, "after")
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	s.report(w, func(work *worker) (iso20022.Document, int, error) {
		d, next, err := s.bank.advice(after, r.URL.Query().Get("instruction"), work.now)
		w.Header().Set(NextHeader, strconv.FormatUint(next, 10))
		if err == nil && d.XML == nil {
			return d, http.StatusNoContent, nil
		}
		return d, 0, err
	})
}

func number(r *http.Request, name string) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 62)
	if err != nil {
		return 0, invalid("/"+name, "a number")
	}
	return n, nil
}

func (s *Server) statement(w http.ResponseWriter, r *http.Request) {
	day, err := iso20022.ParseDate(r.PathValue("day"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	s.report(w, func(work *worker) (iso20022.Document, int, error) {
		a := s.bank.accounts[accountKey{r.PathValue("account"), r.URL.Query().Get("currency")}]
		if a == nil {
			return iso20022.Document{}, http.StatusNotFound, &tongma.Error{Op: "agentsim.statement", Reason: tongma.NoAccount}
		}
		if f, late := s.bank.standing(StatementLate, a.ID); late && work.out.At < f.At+f.DelayMillis {
			w.Header().Set("Retry-After", strconv.FormatInt((f.At+f.DelayMillis-work.out.At+999)/1000, 10))
			return iso20022.Document{}, http.StatusNotFound, &tongma.Error{Op: "agentsim.statement", Reason: tongma.TooEarly}
		}
		d, err := s.bank.statement(a, day.String(), work.now)
		return d, 0, err
	})
}

// maxJSON bounds a request of the operator.
const maxJSON = 64 << 10

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxJSON))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		refuse(w, http.StatusBadRequest, &tongma.Error{Op: "agentsim.admin", Reason: tongma.MessageMalformed, Err: err})
		return false
	}
	return true
}

func show(w http.ResponseWriter, v any, err error) {
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (s *Server) getAccounts(w http.ResponseWriter, _ *http.Request) {
	all, err := s.Accounts()
	show(w, all, err)
}

// putAccount opens or changes an account. If the body has a balance, the difference
// is paid in or out under a key that is given with it.
func (s *Server) putAccount(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Account
		Balance *int64 `json:"balance_minor"`
		Key     string `json:"key"`
	}
	if !read(w, r, &in) {
		return
	}
	err := s.Open(in.Account)
	if err == nil && in.Balance != nil {
		err = s.setBalance(in.Key, in.ID, in.Code, *in.Balance)
	}
	if err != nil {
		show(w, nil, err)
		return
	}
	s.getAccounts(w, r)
}

func (s *Server) setBalance(key, id, code string, to int64) error {
	if key == "" || len(key) > 64 {
		return invalid("/key", "1 to 64 characters")
	}
	return s.edit(func(w *worker) error {
		if _, again := s.bank.funded[key]; again || to < -maxBalance || to > maxBalance {
			return nil
		}
		if diff := to - s.bank.accounts[accountKey{id, code}].Balance; diff != 0 {
			return w.fund(key, id, code, diff)
		}
		return nil
	})
}

func (s *Server) postFund(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Key      string `json:"key"`
		Account  string `json:"account"`
		Currency string `json:"currency"`
		Minor    int64  `json:"amount_minor"`
	}
	if !read(w, r, &in) {
		return
	}
	if err := s.Fund(in.Key, in.Account, in.Currency, in.Minor); err != nil {
		show(w, nil, err)
		return
	}
	s.getAccounts(w, r)
}

func (s *Server) getFaults(w http.ResponseWriter, _ *http.Request) { show(w, s.Faults(), nil) }

func (s *Server) postFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if !read(w, r, &f) {
		return
	}
	f, err := s.Plant(f)
	show(w, f, err)
}

func (s *Server) deleteFaults(w http.ResponseWriter, _ *http.Request) {
	show(w, s.Faults(), s.ClearFaults())
}

func (s *Server) getMovements(w http.ResponseWriter, r *http.Request) {
	after, err := number(r, "after")
	show(w, s.Movements(after, 1000), err)
}

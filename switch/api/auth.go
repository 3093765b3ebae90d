package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tongma/tongma"
)

// Caller is who a token belongs to: a participant, or a person that works for the
// operator. The zero value is nobody.
type Caller struct {
	Participant tongma.ParticipantID
	Operator    string // name of the person; "operator" in an installation that names nobody
}

// Authenticator says whose a bearer token is. It takes the same time whether or
// not a token is known, and may be called from many goroutines.
type Authenticator interface {
	Identify(token string) (Caller, bool)
	// Operators counts the people who work for the operator: what takes two people
	// cannot be done by one. A token that names nobody counts only if there is no other:
	// any of them may hold it.
	Operators() int
}

const (
	tokenPrefix   = "tm_" // so that scanners for leaked secrets can know one
	maxToken      = 256
	minToken      = 32
	maxOperators  = 64
	operatorToken = "operator"
)

// Tokens is the Authenticator of an installation: one token for each participant,
// one for the operator, and one for each person that works for the operator under a
// name, in files of mode 0600. In memory it keeps their SHA-256 only.
type Tokens struct {
	holders []holder
	people  int
}

type holder struct {
	hash [32]byte
	Caller
}

// TokenPath returns where the token of a participant, or of "operator", lies in
// an installation's folder: DIR/creds/<participant>.token.
func TokenPath(dir string, who tongma.ParticipantID) string {
	return filepath.Join(dir, "creds", string(who)+".token")
}

// OperatorTokenPath returns where the token of a person that works for the operator
// lies: DIR/creds/operator.<name>.token. No participant's can be called so.
func OperatorTokenPath(dir, name string) string {
	return filepath.Join(dir, "creds", operatorToken+"."+name+".token")
}

// AddOperator makes the token of a person that works for the operator, unless it is
// there, and returns where it lies. A switch knows it when it reads the folder again.
// A name has the form of a participant's: a lower-case letter, then letters, digits and
// hyphens, 32 at most; FieldInvalid if not.
func AddOperator(dir, name string) (path string, err error) {
	if !operatorName(name) {
		return "", &tongma.Error{Op: "api.AddOperator", Reason: tongma.FieldInvalid, Field: "name", Detail: "want a lower-case letter, then letters, digits and hyphens"}
	}
	path = OperatorTokenPath(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("api: tokens: %w", err)
	}
	if _, err := loadToken(path); err != nil {
		return "", fmt.Errorf("api: token of %s: %w", name, err)
	}
	return path, nil
}

func operatorName(name string) bool {
	return tongma.ParticipantID(name).Valid() && name != operatorToken
}

// NewTokens reads the tokens of the participants, of the operator, and of those who
// work for it under a name, and makes those of participants and operator that are
// missing from 32 random bytes. It refuses a file that others may read, a token that is
// too short or long, two holders of one token, and a participant that is called
// "operator".
func NewTokens(dir string, participants []tongma.ParticipantID) (*Tokens, error) {
	if err := os.MkdirAll(filepath.Join(dir, "creds"), 0o700); err != nil {
		return nil, fmt.Errorf("api: tokens: %w", err)
	}
	t := &Tokens{}
	if err := t.load(TokenPath(dir, operatorToken), Caller{Operator: operatorToken}); err != nil {
		return nil, err
	}
	files, err := operatorFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("api: tokens: %w", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), operatorToken+"."), ".token")
		if !operatorName(name) {
			return nil, fmt.Errorf("api: tokens: %q cannot be an operator's name", name)
		}
		if err := t.load(file, Caller{Operator: name}); err != nil {
			return nil, err
		}
	}
	t.people = max(1, len(t.holders)-1) // the operator's own names nobody
	for _, who := range participants {
		if !who.Valid() || who == operatorToken {
			return nil, fmt.Errorf("api: tokens: %q cannot be a participant's name", who)
		}
		if err := t.load(TokenPath(dir, who), Caller{Participant: who}); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// operatorFiles lists the tokens of those who have a name. The folder is read, not
// matched: its own name may hold what a pattern takes for a sign.
func operatorFiles(dir string) (files []string, err error) {
	all, err := os.ReadDir(filepath.Join(dir, "creds"))
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		if strings.HasPrefix(f.Name(), operatorToken+".") && strings.HasSuffix(f.Name(), ".token") && f.Name() != operatorToken+".token" {
			files = append(files, filepath.Join(dir, "creds", f.Name()))
		}
	}
	if len(files) > maxOperators {
		return nil, fmt.Errorf("%d operators, at most %d", len(files), maxOperators)
	}
	return files, nil
}

func (t *Tokens) load(path string, who Caller) error {
	name := string(who.Participant) + who.Operator
	token, err := loadToken(path)
	if err != nil {
		return fmt.Errorf("api: token of %s: %w", name, err)
	}
	h := holder{sha256.Sum256([]byte(token)), who}
	if slices.ContainsFunc(t.holders, func(other holder) bool { return other.hash == h.hash }) {
		return fmt.Errorf("api: token of %s: somebody else has the same", name)
	}
	t.holders = append(t.holders, h)
	return nil
}

// Operators implements Authenticator.
func (t *Tokens) Operators() int { return t.people }

// Identify implements Authenticator. It compares with every holder, whoever it is.
func (t *Tokens) Identify(token string) (Caller, bool) {
	if len(token) > maxToken {
		return Caller{}, false
	}
	hash := sha256.Sum256([]byte(token))
	found := -1
	for i := range t.holders {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], t.holders[i].hash[:]), i, found)
	}
	if found < 0 {
		return Caller{}, false
	}
	return t.holders[found].Caller, true
}

func loadToken(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return makeToken(path)
	}
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s may be read by others: its mode must be 0600", path)
	}
	if info.Size() > maxToken+1 {
		return "", fmt.Errorf("%s is too long for a token", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken {
		return "", fmt.Errorf("%s holds no token of at least %d characters", path, minToken)
	}
	return token, nil
}

// makeToken writes a new token under another name first: a crash leaves no half
// of one behind.
func makeToken(path string) (string, error) {
	secret := randomText()
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*") // mode 0600
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(tokenPrefix + secret + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	return tokenPrefix + secret, os.Rename(f.Name(), path)
}

// randomText returns 32 random bytes in 43 characters.
func randomText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// bearer returns the token of an Authorization header, "" if there is none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// session lets a browser on the sandbox's own machine see the console without a
// token. Its secret is given only to visitors that are local beyond doubt.
type session struct {
	value string
	hash  [32]byte
}

func newSession() *session {
	s := &session{value: randomText()}
	s.hash = sha256.Sum256([]byte(s.value))
	return s
}

// cookieName differs by port, since a browser sends the cookies of one port of
// localhost to all of them.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		port = "80"
	}
	return "tongma_sandbox_" + port
}

// give sets the cookie if the visitor is local.
func (s *session) give(w http.ResponseWriter, r *http.Request) bool {
	if s == nil || !local(r) {
		return false
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName(r), Value: s.value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: 86400})
	return true
}

// holds tells whether the request carries the session, and is local itself.
func (s *session) holds(r *http.Request) bool {
	if s == nil || !local(r) {
		return false
	}
	cookie, err := r.Cookie(cookieName(r))
	if err != nil || len(cookie.Value) > maxToken {
		return false
	}
	hash := sha256.Sum256([]byte(cookie.Value))
	return subtle.ConstantTimeCompare(hash[:], s.hash[:]) == 1
}

// local tells whether a request came from this machine, to a loopback address,
// under a loopback name, and through no proxy. The name matters most: a page of
// somebody else's site whose name was made to resolve to 127.0.0.1 sends its own.
func local(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" {
			return false
		}
	}
	here, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && loopbackAddress(here.String()) && loopbackAddress(r.RemoteAddr) && loopbackHost(r.Host)
}

func loopbackAddress(hostPort string) bool {
	a, err := netip.ParseAddrPort(hostPort)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

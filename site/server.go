package site

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"netsplit/kit"
)

// Policy is the content security policy of every answer: only our own files, nothing inline.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Handler serves the site. What protects a server on the reader's own machine from other web pages is Guard.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/{file}", func(w http.ResponseWriter, r *http.Request) {
		a, ok := s.assets[r.PathValue("file")]
		if !ok {
			s.missing(w, r)
			return
		}
		send(w, r, a.body, a.kind, a.etag)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		at := strings.TrimPrefix(r.URL.Path, "/")
		body, err := s.Page(at)
		switch {
		case err == nil:
			send(w, r, body, "text/html; charset=utf-8", etag(body))
		case kit.KindOf(err) == kit.NotFound && s.exists(at+"/"):
			http.Redirect(w, r, "/"+at+"/", http.StatusMovedPermanently)
		case kit.KindOf(err) == kit.NotFound:
			s.missing(w, r)
		default:
			http.Error(w, "this page cannot be shown: "+err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

func (s *Site) exists(at string) bool {
	for _, p := range s.Paths() {
		if p == at {
			return true
		}
	}
	return false
}

func (s *Site) missing(w http.ResponseWriter, r *http.Request) {
	body, err := s.Missing("/", r.URL.Path)
	if err != nil {
		http.Error(w, "no such page", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(body) // the reader has gone; net/http leaves the body out for HEAD
}

func send(w http.ResponseWriter, r *http.Request, body []byte, kind, tag string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache") // ask again: the next build may differ
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// Guard lets a request through only if it comes from a page of this server or from no page at all. The Host
// header must name the loopback interface, because a foreign name that resolves to 127.0.0.1 (DNS rebinding)
// would else make our pages its own. Only GET and HEAD exist.
func Guard(h http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", Policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		switch {
		case !LoopbackHost(r.Host):
			http.Error(w, "this server answers to localhost, 127.0.0.1 and [::1] only", http.StatusMisdirectedRequest)
		case origin.Check(r) != nil:
			http.Error(w, "a request from another site is refused", http.StatusForbidden)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			head.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are known here", http.StatusMethodNotAllowed)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// LoopbackHost reports whether a Host header or HOST:PORT names the loopback interface.
func LoopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// stopGrace is how long open requests may take to end after the server is told to stop.
const stopGrace = time.Second

// Serve answers requests from ln until ctx ends, and returns when all has ended. It closes ln.
func Serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	done := make(chan error, 1) // closed never; takes one value
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		err := srv.Shutdown(grace)
		if err != nil {
			err = srv.Close()
		}
		done <- err
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return &kit.Error{Op: "serve", Kind: kit.Broken, Err: err}
	}
	return <-done
}

// Given to the compiler with -include when the native cipher binding of ssh2 is built:
//   CXXFLAGS="-include .../object-wrap.h" node-gyp --real_openssl_major=3 --nodedir=... rebuild
// It stands in for node_object_wrap.h of Node 24.21, whose destructor calls
// RemoveEnvironmentCleanupHook: that aborts the process ("Assertion failed: (env) != nullptr") when
// the garbage collector runs while no context is entered, in a server at any time. Runs in: worker.
#ifndef SRC_NODE_OBJECT_WRAP_H_
#define SRC_NODE_OBJECT_WRAP_H_

#include <v8.h>

namespace node {

class ObjectWrap {
 public:
  ObjectWrap() = default;
  ObjectWrap(const ObjectWrap&) = delete;
  ObjectWrap& operator=(const ObjectWrap&) = delete;
  virtual ~ObjectWrap() { handle_.Reset(); }

  template <class T>
  static inline T* Unwrap(v8::Local<v8::Object> holder) {
    return static_cast<T*>(static_cast<ObjectWrap*>(holder->GetAlignedPointerFromInternalField(0)));
  }

 protected:
  inline void Wrap(v8::Local<v8::Object> holder) {
    holder->SetAlignedPointerInInternalField(0, this);
    handle_.Reset(v8::Isolate::GetCurrent(), holder);
    handle_.SetWeak(this, Collected, v8::WeakCallbackType::kParameter);
  }

 private:
  static void Collected(const v8::WeakCallbackInfo<ObjectWrap>& data) { delete data.GetParameter(); }

  v8::Global<v8::Object> handle_;
};

}  // namespace node

#endif  // SRC_NODE_OBJECT_WRAP_H_

{
  'target_defaults': {
    'cflags': [
      '-std=gnu11', '-Wall', '-Wextra', '-Wshadow', '-Wvla', '-Wformat=2', '-Wno-unused-parameter',
      '-Werror=implicit-function-declaration', '-Werror=incompatible-pointer-types',
      '-O2', '-g', '-fstack-protector-strong', '-fstack-clash-protection', '-fno-strict-aliasing',
      '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2',
    ],
    'cflags!': ['-O3', '-fno-omit-frame-pointer'],
    'defines': ['_GNU_SOURCE'],
    'ldflags': ['-Wl,-z,relro', '-Wl,-z,now', '-Wl,-z,noexecstack'],
  },
  'targets': [
    {
      'target_name': 'sshdesk_addon',
      'defines': ['NAPI_VERSION=9'],
      'sources': [
        'src/base/addon/module.c',
        'src/base/addon/value.c',
        'src/base/addon/poll.c',
        'src/base/addon/link.c',
        'src/base/addon/socket.c',
        'src/base/addon/pty.c',
        'src/base/addon/confine.c',
        'src/base/addon/syslog.c',
      ],
    },
  ],
}
